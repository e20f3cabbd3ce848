"""The Agent protocol, and what an agent is given."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentplatform.agents.tools.toolbox import Toolbox
from agentplatform.context_caching import TTL_SECONDS, WAIT_SECONDS, ContextCache, LocalContextCache
from agentplatform.execution.deadlines import Deadline
from agentplatform.llm.caching.policy import NOT_CACHED, CachePolicy, Caching
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.llm.model import CallContext, Model
from agentplatform.llm.tiers import Tier


@dataclass(frozen=True, slots=True)
class Degradation:
    """Something that was not as asked for: said with the result, never in silence."""

    code: str
    message: str

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message}


@dataclass(slots=True)
class StepContext:
    """One attempt of a step, as its agent sees it.

    `tier` is pinned by its definition, or None: then each call's is chosen, from `min_tier` up. `use_case` names
    what it is for, as in "answer_question.answer"; `cache` says whether its answers may be kept. In a run that is a
    part of a session (`session_id`) they serve that session alone; `shared_cache` is for calls that hold nothing of its
    earlier turns.
        `input` is the workflow's input; `needs` has the output of every step it needs, None where one was skipped;
    `item` is its element in a fan-out; `options` are the definition's. `degradations` is the agent's to add to.
    `tools` are called through agentplatform.agents.tools.loop.
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
    degradations: list[Degradation] = field(default_factory=list)
    context_cache: ContextCache = field(default_factory=LocalContextCache)
    tools: Toolbox = field(default_factory=Toolbox)

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


class Agent(Protocol):
    """Does the work of a step. Runs at least once: an attempt may follow one that was lost half-way.

    An agent whose answers may serve again says so with an attribute `caching` (see Caching); without one they may not.
    """

    def run(self, step: StepContext) -> Any:
        """The step's output, a JSON value. Raises StepError or ModelError."""


def caching_of(agent: Agent) -> Caching:
    """How far the agent's answers may serve again, as it declares."""
    declared: Caching = getattr(agent, "caching", Caching.NONE)
    return declared
