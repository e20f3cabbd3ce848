"""Runs claimed steps: claim, agent, decision, fenced finish, and on to the workflow's next step."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import orjson

from agentplatform.agents.agent import Agent, StepContext, StepError, caching_of
from agentplatform.agents.tools.toolbox import Tools
from agentplatform.context_caching import ContextCache, LocalContextCache
from agentplatform.execution.deadlines import Deadline
from agentplatform.execution.failures import failure_of
from agentplatform.execution.retry import WORKER_LOST, Failure, RetryPolicy
from agentplatform.execution.running import RunningStep, RunningSteps
from agentplatform.llm.caching.policy import CacheControl, CachePolicy
from agentplatform.llm.errors import CallDeferred
from agentplatform.llm.gateway import Gateway
from agentplatform.llm.journal import CallStore, StepIdentity, StepJournal
from agentplatform.llm.model import CallContext
from agentplatform.llm.restraint import UNRESTRAINED, Restraint
from agentplatform.llm.tiers import AUTO, Tier
from agentplatform.workflows import coordinator
from agentplatform.workflows.coordinator import Decision, StepFailed, StepSucceeded, StepWaits, WorkflowState
from agentplatform.workflows.definition import Definition, FanOutError
from agentplatform.workflows.statuses import WaitingFor


@dataclass(frozen=True, slots=True)
class LeasedStep:
    """A running attempt, with all that it takes to decide on its end.

    `attempts_before` count no more: they were made before the step was last requeued, or ended in a wait.
    `lost_workers` is how many of the attempts since the requeueing ended with their worker.
    """

    step_id: uuid.UUID
    attempt: int
    node: str
    label: str
    queue: str
    agent: str
    attempts_before: int
    lost_workers: int
    workflow_id: uuid.UUID
    workflow_seconds_left: float
    definition: Definition
    policy: RetryPolicy
    revision: int
    state: WorkflowState


@dataclass(frozen=True, slots=True)
class ClaimedStep(LeasedStep):
    """An attempt that this process holds the lease of, with all that its agent needs.

    `tier` is its pinned tier, or AUTO; `max_tier` the highest that its tenant may use at the moment, and `restraint`
    what its budgets ask of its calls; `cache_control` is what its submission said of caches. `definition_id` is of the
    version of its definition, and `session_id` of the conversation that its run is a part of.
    """

    index: int | None
    tier: str
    max_tier: Tier | None
    options: Mapping[str, Any]
    seconds_left: float
    tenant_id: uuid.UUID
    input: Mapping[str, Any]
    item: Any
    needs: Mapping[str, Any]
    journal: tuple[Mapping[str, Any], ...]
    api_key_id: uuid.UUID | None = None
    restraint: Restraint = UNRESTRAINED
    definition_id: int = 0
    cache_control: CacheControl = CacheControl.UNSAID
    session_id: uuid.UUID | None = None

    @property
    def key(self) -> str:
        """How the API names it: the node, and in a fan-out the element."""
        return self.node if self.index is None else f"{self.node}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Wait:
    """An attempt gave its slot up: what it waits for, for how long at most, and why.

    One that waits for a budget says how much of it, as (usd_micros, tokens).
    """

    waiting_for: WaitingFor
    seconds: float
    code: str
    message: str
    needs: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: an output, or the failure or the wait that took its place."""

    output: Any = None
    failure: Failure | None = None
    wait: Wait | None = None
    degradations: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FinishReply:
    """What became of a finish.

    `outcome` is finished, already, stale, or conflict (decide again on `state` and `revision`). `next_step` is
    the workflow's next step, when admission granted it to this worker.
    """

    outcome: str
    ended: bool = False
    state: WorkflowState | None = None
    revision: int = 0
    next_step: ClaimedStep | None = None


class StepStore(Protocol):
    """Where steps are claimed and finished."""

    def claim(self, step_id: uuid.UUID, attempt: int) -> ClaimedStep | None:
        """The step, leased to this process; None when there is nothing to claim (a doubled or late hint)."""

    def finish(
        self,
        step: ClaimedStep,
        outcome: Outcome,
        decision: Decision,
        journal: StepJournal,
        *,
        may_continue: bool,
    ) -> FinishReply:
        """Stores the end of an attempt, fenced, in one transaction. Returns only once the database has answered."""


class Reports(Protocol):
    """Told about every step a worker starts and ends, and what its models say: for those who watch."""

    def started(self, step: ClaimedStep) -> None: ...

    def ended(self, step: ClaimedStep, outcome: Outcome, seconds: float) -> None: ...

    def text(self, step: ClaimedStep, delta: str) -> None:
        """A model has answered `delta` more."""

    def restart_text(self, step: ClaimedStep) -> None:
        """What models have said in this step is void; it begins anew."""


@dataclass(frozen=True, slots=True)
class ContinuationLimits:
    """How far one hint may carry a worker through its workflow."""

    max_steps: int = 50
    max_seconds: float = 30.0


class Executor:
    """Runs the step of a hint, and those that admission lets follow it in the same slot."""

    def __init__(
        self,
        *,
        store: StepStore,
        calls: CallStore,
        gateway: Gateway,
        find_agent: Callable[[str], Agent | None],
        running: RunningSteps,
        reports: Reports,
        limits: ContinuationLimits,
        context_cache: ContextCache | None = None,
        tools: Tools | None = None,
    ) -> None:
        self._store = store
        self._calls = calls
        self._gateway = gateway
        self._find_agent = find_agent
        self._running = running
        self._reports = reports
        self._limits = limits
        self._context_cache = context_cache or LocalContextCache()
        self._tools = tools or Tools()

    def run(self, step_id: uuid.UUID, attempt: int) -> None:
        """Runs the step if it is there to be claimed, and those that may follow it."""
        step = self._store.claim(step_id, attempt)
        until = Deadline.after(self._limits.max_seconds)
        count = 0
        while step is not None:
            count += 1
            may_continue = count < self._limits.max_steps and not self._running.is_draining
            step = self._run_one(step, may_continue=may_continue and not until.has_passed)

    def _run_one(self, step: ClaimedStep, *, may_continue: bool) -> ClaimedStep | None:
        workflow_deadline = Deadline.after(step.workflow_seconds_left)
        call = CallContext(
            Deadline.after(step.seconds_left),
            queue=step.queue,
            workflow_deadline=workflow_deadline,
            tolerates_delay=step.definition.step(step.node).tolerates_delay,
            max_tier=step.max_tier,
            restraint=step.restraint,
            cache_control=step.cache_control,
            on_text=partial(self._reports.text, step),
            on_restart=partial(self._reports.restart_text, step),
        )
        journal = StepJournal(identity_of(step), self._calls, step.journal)
        self._reports.started(step)
        if step.attempt > 1:
            self._reports.restart_text(step)
        started = Deadline.after(0)
        with self._running.hold(RunningStep(step.step_id, step.attempt, call)):
            outcome = self._run_agent(step, call, journal)
            step = replace(step, workflow_seconds_left=workflow_deadline.seconds_left)
            reply = self._finish(step, outcome, journal, may_continue=may_continue)
        self._reports.ended(step, outcome, -started.seconds_left)
        return reply.next_step

    def _run_agent(self, step: ClaimedStep, call: CallContext, journal: StepJournal) -> Outcome:
        agent = self._find_agent(step.agent)
        if agent is None:
            message = f"No installed app has an agent called '{step.agent}'; add its app to INSTALLED_APPS."
            return Outcome(failure=Failure("unknown_agent", message, transient=False))
        context = StepContext(
            tenant_id=step.tenant_id,
            workflow_id=step.workflow_id,
            step_id=step.step_id,
            attempt=step.attempt,
            tier=None if step.tier == AUTO else Tier(step.tier),
            min_tier=step.definition.step(step.node).min_tier,
            use_case=f"{step.definition.type}.{step.node}",
            session_id=step.session_id,
            cache=cache_policy_of(step, agent),
            shared_cache=shared_cache_policy_of(step, agent),
            input=step.input,
            needs=step.needs,
            item=step.item,
            options=step.options,
            deadline=call.deadline,
            model=self._gateway.for_step(journal),
            call=call,
            context_cache=self._context_cache,
            tools=self._tools.for_step(journal),
        )
        try:
            output = agent.run(context)
            _check_output(output)
        except CallDeferred as deferred:
            return _outcome_of_deferral(deferred, call, step.workflow_seconds_left)
        except Exception as error:  # noqa: BLE001 - whatever an agent raises is its attempt's failure
            return Outcome(failure=failure_of(error))
        told = (*(item.to_json() for item in context.degradations), *call.degradations)
        return Outcome(output, degradations=told)

    def _finish(
        self, step: ClaimedStep, outcome: Outcome, journal: StepJournal, *, may_continue: bool
    ) -> FinishReply:
        state, revision = step.state, step.revision
        while True:
            outcome, decision = decide_outcome(step, state, outcome)
            current = replace(step, state=state, revision=revision)
            reply = self._store.finish(current, outcome, decision, journal, may_continue=may_continue)
            if reply.outcome != "conflict":
                return reply
            assert reply.state is not None
            state, revision = reply.state, reply.revision
            if state.status.is_terminal:
                return FinishReply("stale")


def decide_outcome(step: LeasedStep, state: WorkflowState, outcome: Outcome) -> tuple[Outcome, Decision]:
    """The coordinator's decision on how an attempt ended.

    An output without the list which a later step fans out over, or with too long a one, is a permanent failure of
    this step.
    """
    if outcome.wait is not None:
        wait = outcome.wait
        event = StepWaits(step.node, wait.waiting_for, wait.seconds)
        return outcome, coordinator.decide(step.definition, state, event)
    if outcome.failure is None:
        try:
            return outcome, coordinator.decide(
                step.definition, state, StepSucceeded(step.node, outcome.output)
            )
        except FanOutError as error:
            outcome = Outcome(failure=Failure(error.code, str(error), transient=False))
    assert outcome.failure is not None
    failed = StepFailed(
        node=step.node,
        failure=outcome.failure,
        attempt=step.attempt - step.attempts_before,
        policy=step.policy,
        seconds_left=step.workflow_seconds_left,
        jitter=random.random(),
        lost_workers=lost_workers_with(step, outcome.failure),
    )
    return outcome, coordinator.decide(step.definition, state, failed)


def _outcome_of_deferral(deferred: CallDeferred, call: CallContext, workflow_seconds_left: float) -> Outcome:
    """A wait; or a failure, where the workflow's time would be up before it is over.

    Budget may come any moment, so for that it waits all the same. What is not as asked for of a call that a batch has
    is said now: the next attempt only replays its answer. And so is that it was held.
    """
    waiting_for = WaitingFor(deferred.waiting_for)
    if deferred.seconds >= workflow_seconds_left and waiting_for is not WaitingFor.BUDGET:
        return Outcome(failure=failure_of(deferred))
    told: tuple[Mapping[str, str], ...] = ()
    if waiting_for is WaitingFor.PROVIDER_BATCH:
        told = tuple(call.degradations)
    elif deferred.needs is not None:
        told = ({"code": "budget_held", "message": deferred.message},)
    seconds = min(deferred.seconds, max(0.0, workflow_seconds_left))
    wait = Wait(waiting_for, seconds, deferred.code, deferred.message, deferred.needs)
    return Outcome(wait=wait, degradations=told)


def lost_workers_with(step: LeasedStep, failure: Failure) -> int:
    """How many attempts of the step ended with their worker, this one included."""
    return step.lost_workers + (failure.code == WORKER_LOST)


def _check_output(output: Any) -> None:
    """Raises StepError for an output that cannot be stored: the attempt must be finished, and paid for, all the same."""
    try:
        orjson.dumps(output, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        message = (
            f"The agent's output is no JSON ({error}); have it return objects, lists, texts and numbers."
        )
        raise StepError("output_not_json", message) from None


def identity_of(step: ClaimedStep) -> StepIdentity:
    """Whose calls those of this attempt are."""
    return StepIdentity(
        tenant_id=step.tenant_id,
        workflow_id=step.workflow_id,
        step_id=step.step_id,
        attempt=step.attempt,
        task_type=step.definition.type,
        agent=step.agent,
        api_key_id=step.api_key_id,
    )


def cache_policy_of(step: ClaimedStep, agent: Agent) -> CachePolicy:
    """How far this step's answers may serve again: of a run in a session, within that session alone."""
    policy = shared_cache_policy_of(step, agent)
    if step.session_id is None:
        return policy
    return replace(policy, version=f"{policy.version} session {step.session_id}")


def shared_cache_policy_of(step: ClaimedStep, agent: Agent) -> CachePolicy:
    """How far answers without a session's content may serve again: as its agent allows, unless its definition is
    stricter."""
    spec = step.definition.step(step.node)
    return CachePolicy(
        caching_of(agent).narrowed(spec.caching), spec.cache_ttl_seconds, str(step.definition_id)
    )
