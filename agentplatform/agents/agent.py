"""The Agent protocol, and what an agent is given."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from agentplatform.agents.tools.toolbox import Toolbox
from agentplatform.context_caching import TTL_SECONDS, WAIT_SECONDS, ContextCache, LocalContextCache
from agentplatform.execution.deadlines import Deadline
from agentplatform.llm.caching.policy import NOT_CACHED, CachePolicy, Caching
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.llm.model import CallContext, Model
from agentplatform.llm.tiers import Tier
from agentplatform.workflows.statuses import WaitingFor, WorkflowStatus
from agentplatform.workflows.step_spec import StepSpec


@dataclass(frozen=True, slots=True)
class Degradation:
    """Something that was not as asked for: said with the result, never in silence."""

    code: str
    message: str

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True)
class Allowance:
    """Which steps an agent may add to its run: of these agents, so many at most."""

    agents: tuple[str, ...] = ()
    most: int = 0


@dataclass(frozen=True, slots=True)
class SubRun:
    """A run that a step has started. `reported` says that an attempt of the step has failed of its end already."""

    workflow_id: uuid.UUID
    status: WorkflowStatus
    result: Any = None
    error: Mapping[str, Any] | None = None
    reported: bool = False


class StepRuns(Protocol):
    """Runs that steps start, on behalf of their tenant and within what their own run may spend."""

    def latest(self, step: StepContext) -> SubRun | None:
        """The run that this step started last; None when it has started none."""

    def start(self, step: StepContext, type_: str, workflow_input: Mapping[str, Any]) -> uuid.UUID:
        """Starts a run of the current version of `type_`; once, however often it is asked. Raises StepError."""


class NoStepRuns:
    """Where no run can be started."""

    def latest(self, step: StepContext) -> SubRun | None:
        return None

    def start(self, step: StepContext, type_: str, workflow_input: Mapping[str, Any]) -> uuid.UUID:
        raise StepError("no_sub_workflows", "No workflow can be started from a step here.")


@dataclass(slots=True)
class StepContext:
    """One attempt of a step, as its agent sees it.

    `tier` is pinned by its definition, or None: then each call's is chosen, from `min_tier` up. `use_case` names
    what it is for, as in "answer_question.answer"; `cache` says whether its answers may be kept. In a run that is a
    part of a session (`session_id`) they serve that session alone; `shared_cache` is for calls that hold nothing of its
    earlier turns. `session_tokens` is about how much of a request its conversation may take.
    `input` is the workflow's input; `needs` has the output of every step it needs, None where one was skipped;
    `item` is its element in a fan-out; `options` are the definition's. `degradations` is the agent's to add to.
    `tools` are called through agentplatform.agents.tools.loop.
    In a loop, `iteration` counts from 0 and `previous` is the output of the one before. Of a step that has waited,
    `signal` is what it got (`{"payload", "sender"}`, None when nothing came) and `waited_seconds` since when.
    `added` are the steps it has added to its run.
    """

    tenant_id: uuid.UUID
    workflow_id: uuid.UUID
    step_id: uuid.UUID
    attempt: int
    tier: Tier | None
    input: Mapping[str, Any]
    needs: Mapping[str, Any]
    item: Any
    options: Mapping[str, Any]
    deadline: Deadline
    model: Model
    call: CallContext
    min_tier: Tier | None = None
    use_case: str = ""
    cache: CachePolicy = NOT_CACHED
    shared_cache: CachePolicy = NOT_CACHED
    session_id: uuid.UUID | None = None
    session_tokens: int = 0
    degradations: list[Degradation] = field(default_factory=list)
    context_cache: ContextCache = field(default_factory=LocalContextCache)
    tools: Toolbox = field(default_factory=Toolbox)
    key: str = ""
    previous: Any = None
    iteration: int = 0
    signal: Mapping[str, Any] | None = None
    waited_seconds: float | None = None
    workflow_seconds_left: float = 0.0
    runs: StepRuns = field(default_factory=NoStepRuns)
    allowance: Allowance = Allowance()
    added: list[StepSpec] = field(default_factory=list)

    @property
    def document(self) -> dict[str, Any]:
        """What expressions in its definition may speak of."""
        return {"input": self.input, "item": self.item, "previous": self.previous, **self.needs}

    def wait(self, waiting_for: WaitingFor, seconds: float, code: str, message: str) -> NoReturn:
        """Gives the slot up; the step's next attempt comes in `seconds`, or when it is woken."""
        raise StepDeferred(waiting_for, seconds, code, message)

    def add_step(self, spec: StepSpec) -> None:
        """Adds a step to the run: it starts once this one has succeeded, and what waits for this one waits for it too.

        Its output is handed to those under its key. Raises StepError `added_steps_refused` beyond what the definition
        allows.
        """
        if spec.agent not in self.allowance.agents:
            known = ", ".join(self.allowance.agents) or "none"
            message = f"No step of agent '{spec.agent}' may be added here; may_add of the definition names: {known}."
        elif len(self.added) >= self.allowance.most:
            message = f"At most {self.allowance.most} steps may be added here; see max_added_steps of the definition."
        elif spec.may_add:
            message = f"Added step '{spec.key}' may add none itself."
        else:
            self.added.append(spec)
            return
        raise StepError("added_steps_refused", message)

    def request(
        self, prompt: str, *, max_tokens: int, earlier: Sequence[Mapping[str, Any]] = (), **more: Any
    ) -> ModelRequest:
        """A request for one answer, for the step's tier; `more` are other fields of a ModelRequest.

        `earlier` are messages before the prompt: the turns of a conversation, by turns the user's and the model's.
        """
        placed = {
            "tier": self.tier,
            "min_tier": self.min_tier,
            "use_case": self.use_case,
            "cache": self.cache,
        } | more
        messages = (*earlier, {"role": "user", "content": prompt})
        return ModelRequest(messages=messages, max_tokens=max_tokens, **placed)

    def complete(self, prompt: str, *, max_tokens: int, **more: Any) -> ModelResponse:
        """Asks a model one question; `more` as in `request`. Raises ModelError."""
        return self.model.complete(self.request(prompt, max_tokens=max_tokens, **more), self.call)

    def remember(
        self, kind: str, parts: Any, make: Callable[[], Any], *, ttl_seconds: float = TTL_SECONDS
    ) -> Any:
        """What `make` returns, a JSON value, or what it returned within `ttl_seconds` for the same parts.

        For what is expensive, has no side effects and depends on `parts` alone, as a tool's result on its arguments.
        The tenant's steps share it, in all workflows. It may be made more than once. Raises what `make` raises.
        """
        return self.context_cache.get_or_make(
            f"step.{kind}",
            self.tenant_id,
            parts,
            make,
            ttl_seconds=ttl_seconds,
            wait_seconds=min(WAIT_SECONDS, self.deadline.seconds_left / 2),
        )


class StepError(Exception):
    """An agent gives up on its step. `message` says what to do; it holds no prompt and no output."""

    def __init__(self, code: str, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.transient = transient


class OptionsError(ValueError):
    """The options of a step are not what its agent takes; the message says how to mend them."""


class StepDeferred(Exception):
    """An agent gives its slot up and is run again later, which is no failure: see `StepContext.wait`."""

    def __init__(self, waiting_for: WaitingFor, seconds: float, code: str, message: str) -> None:
        super().__init__(message)
        self.waiting_for = waiting_for
        self.seconds = seconds
        self.code = code
        self.message = message


class Agent(Protocol):
    """Does the work of a step. Runs at least once: an attempt may follow one that was lost half-way.

    An agent whose answers may serve again says so with an attribute `caching` (see Caching); without one they may not.
    One that takes options may have a method `check_options(spec, registry)`: called when definitions are loaded, it
    raises OptionsError for options that it cannot work with.
    """

    def run(self, step: StepContext) -> Any:
        """The step's output, a JSON value. Raises StepError or ModelError."""


def caching_of(agent: Agent) -> Caching:
    """How far the agent's answers may serve again, as it declares."""
    declared: Caching = getattr(agent, "caching", Caching.NONE)
    return declared
