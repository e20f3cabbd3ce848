"""Runs claimed steps: claim, agent, decision, fenced finish, and on to the workflow's next step."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from agentplatform.agents.agent import (
    Agent,
    Allowance,
    NoStepRuns,
    StepContext,
    StepDeferred,
    StepRuns,
    caching_of,
)
from agentplatform.agents.tools.toolbox import Tools
from agentplatform.context_caching import ContextCache, LocalContextCache
from agentplatform.execution.attempts import ClaimedStep, FinishReply, Outcome, StepStore
from agentplatform.execution.deadlines import Deadline
from agentplatform.execution.outcomes import (
    check_output,
    decide_outcome,
    failure_of,
    outcome_of_deferral,
    outcome_of_wait,
)
from agentplatform.execution.retry import Failure
from agentplatform.execution.running import RunningStep, RunningSteps
from agentplatform.llm.caching.policy import CachePolicy
from agentplatform.llm.errors import CallDeferred
from agentplatform.llm.gateway import Gateway
from agentplatform.llm.journal import CallStore, StepIdentity, StepJournal
from agentplatform.llm.model import CallContext
from agentplatform.llm.tiers import AUTO, Tier
from agentplatform.memory.room import SessionRoom, steps_told, tiers_that_may_serve
from agentplatform.workflows.definition import AddedSteps
from agentplatform.workflows.expressions import ExpressionError


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
        runs: StepRuns | None = None,
        tools: Tools | None = None,
        session_room: SessionRoom | None = None,
    ) -> None:
        self._store = store
        self._calls = calls
        self._gateway = gateway
        self._find_agent = find_agent
        self._running = running
        self._reports = reports
        self._limits = limits
        self._context_cache = context_cache or LocalContextCache()
        self._runs = runs or NoStepRuns()
        self._tools = tools or Tools()
        self._session_room = session_room or SessionRoom()

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
            tolerates_delay=step.spec.tolerates_delay,
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
            min_tier=step.spec.min_tier,
            use_case=f"{step.definition.type}.{step.node}",
            session_id=step.session_id,
            session_tokens=self._session_tokens(step),
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
            key=step.key,
            previous=step.previous,
            iteration=step.index or 0,
            signal=step.signal,
            waited_seconds=step.waited_seconds,
            workflow_seconds_left=step.workflow_seconds_left,
            runs=self._runs,
            tools=self._tools.for_step(journal),
            allowance=Allowance(step.spec.may_add, step.spec.max_added_steps),
        )
        try:
            if not step.spec.runs_for(context.document):
                return Outcome(omitted=True)
            output = agent.run(context)
            check_output(output)
        except CallDeferred as deferred:
            return outcome_of_deferral(deferred, call, step.workflow_seconds_left)
        except StepDeferred as deferred:
            return outcome_of_wait(deferred, step.workflow_seconds_left)
        except ExpressionError as error:
            return Outcome(failure=Failure("expression_failed", str(error), transient=False))
        except Exception as error:  # noqa: BLE001 - whatever an agent raises is its attempt's failure
            return Outcome(failure=failure_of(error))
        told = (*(item.to_json() for item in context.degradations), *call.degradations)
        added = AddedSteps(step.node, tuple(context.added)) if context.added else None
        return Outcome(output, degradations=told, added=added)

    def _session_tokens(self, step: ClaimedStep) -> int:
        """The room of the conversation that the step's run is a part of; 0 outside of one."""
        if step.session_id is None:
            return 0
        told = steps_told(step.definition, step.node)
        return self._session_room.tokens(tiers_that_may_serve(self._gateway.catalogue(), told, step.max_tier))

    def _finish(
        self, step: ClaimedStep, outcome: Outcome, journal: StepJournal, *, may_continue: bool
    ) -> FinishReply:
        while True:
            outcome, decision = decide_outcome(step, step.state, outcome)
            reply = self._store.finish(step, outcome, decision, journal, may_continue=may_continue)
            if reply.outcome != "conflict":
                return reply
            assert reply.state is not None
            if reply.state.status.is_terminal:
                return FinishReply("stale")
            definition = reply.definition or step.definition
            step = replace(step, definition=definition, state=reply.state, revision=reply.revision)


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
    """How far answers without a session's content may serve again: as its agent and its definition allow."""
    spec = step.spec
    return CachePolicy(
        caching_of(agent).narrowed(spec.caching), spec.cache_ttl_seconds, str(step.definition_id)
    )
