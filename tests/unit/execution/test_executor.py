"""The executor: agents run on claimed steps, and however they end, their attempt is finished."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agentplatform.agents.agent import Degradation, StepContext, StepError
from agentplatform.execution.attempts import ClaimedStep, FinishReply, Outcome
from agentplatform.execution.executor import ContinuationLimits, Executor
from agentplatform.execution.outcomes import failure_of
from agentplatform.execution.retry import RetryPolicy
from agentplatform.execution.running import RunningSteps
from agentplatform.llm.catalogue import DEFAULT_CATALOGUE, Catalogue
from agentplatform.llm.errors import CallDeferred, ModelError
from agentplatform.llm.journal import StepJournal
from agentplatform.llm.tiers import Tier
from agentplatform.workflows import decisions
from agentplatform.workflows.decisions import Decision, NodeState, WorkflowState
from agentplatform.workflows.definition import Definition, StepSpec
from agentplatform.workflows.statuses import StepStatus, WaitingFor, WorkflowStatus
from tests.unit.llm.conftest import Calls, gateway_to

CHAIN = Definition(
    type="chain",
    title="chain",
    description="",
    input_schema={"type": "object"},
    steps=tuple(
        StepSpec(f"s{number}", "agent", needs=(f"s{number - 1}",) if number else ()) for number in range(5)
    ),
    result="s4",
)


class FunctionAgent:
    """An agent that is one function."""

    def __init__(self, run: Callable[[StepContext], Any]) -> None:
        self.run = run


class Steps:
    """A store in memory of one run: claims, and finishes through the reducer, granting every continuation."""

    def __init__(self, conflicts: int = 0, **fields: Any) -> None:
        one = uuid.UUID(int=1)
        nodes = {spec.key: NodeState(1, {StepStatus.BLOCKED: 1}) for spec in CHAIN.steps}
        nodes["s0"] = NodeState(1, {StepStatus.RUNNING: 1})
        claimed: dict[str, Any] = {
            "step_id": one,
            "attempt": 1,
            "node": "s0",
            "label": "chain.s0",
            "queue": "standard",
            "workflow_id": one,
            "workflow_seconds_left": 60.0,
            "definition": CHAIN,
            "policy": RetryPolicy(max_attempts=3),
            "revision": 0,
            "state": WorkflowState(WorkflowStatus.RUNNING, nodes),
            "index": None,
            "agent": "agent",
            "attempts_before": 0,
            "lost_workers": 0,
            "tier": "fast",
            "max_tier": None,
            "options": {},
            "seconds_left": 30.0,
            "tenant_id": one,
            "input": {"question": "?"},
            "item": None,
            "needs": {},
            "journal": (),
        }
        self.first: ClaimedStep | None = ClaimedStep(**{**claimed, **fields})
        self.conflicts = conflicts
        self.finished: list[tuple[ClaimedStep, Outcome, Decision]] = []
        self.asked_to_continue: list[bool] = []

    def claim(self, step_id: uuid.UUID, attempt: int) -> ClaimedStep | None:
        claimed, self.first = self.first, None
        return claimed

    def finish(
        self,
        step: ClaimedStep,
        outcome: Outcome,
        decision: Decision,
        journal: StepJournal,
        *,
        may_continue: bool,
    ) -> FinishReply:
        if self.conflicts:
            self.conflicts -= 1
            return FinishReply("conflict", state=step.state, revision=step.revision + 1)
        self.finished.append((step, outcome, decision))
        self.asked_to_continue.append(may_continue)
        state = decisions.apply(step.state, decision)
        if not may_continue or not decision.activate:
            return FinishReply("finished", ended=decision.ending is not None)
        node = decision.activate[0]
        following = replace(
            step,
            step_id=uuid.UUID(int=step.step_id.int + 1),
            node=node,
            state=decisions.claimed(state, node, StepStatus.READY),
        )
        return FinishReply("finished", next_step=following)


class Reports:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def started(self, step: ClaimedStep) -> None:
        self.told.append(f"{step.node} started")

    def ended(self, step: ClaimedStep, outcome: Outcome, seconds: float) -> None:
        assert seconds >= 0
        self.told.append(f"{step.node} {'ended' if outcome.failure is None else outcome.failure.code}")

    def text(self, step: ClaimedStep, delta: str) -> None:
        raise AssertionError("no model is called here")

    def restart_text(self, step: ClaimedStep) -> None: ...


def run(
    store: Steps,
    agent: Callable[[StepContext], Any] | None = lambda step: {},
    limits: ContinuationLimits | None = None,
    running: RunningSteps | None = None,
    catalogue: Catalogue = DEFAULT_CATALOGUE,
) -> Reports:
    """Runs the hint of the store's step; returns what was reported."""
    reports = Reports()
    executor = Executor(
        store=store,
        calls=Calls(),
        gateway=gateway_to({}, catalogue),
        find_agent=lambda name: FunctionAgent(agent) if agent is not None else None,
        running=running or RunningSteps(),
        reports=reports,
        limits=limits or ContinuationLimits(),
    )
    executor.run(uuid.UUID(int=1), 1)
    return reports


def outcome_of(agent: Callable[[StepContext], Any], **fields: Any) -> tuple[Outcome, Decision]:
    """How an attempt with this agent ends."""
    store = Steps(**fields)
    run(store, agent, ContinuationLimits(max_steps=1))
    ((_, outcome, decision),) = store.finished
    return outcome, decision


def raises(error: Exception) -> Callable[[StepContext], Any]:
    """An agent that raises."""

    def agent(step: StepContext) -> Any:
        raise error

    return agent


def test_a_hint_without_a_step_runs_nothing() -> None:
    """A doubled or late hint."""
    store = Steps()
    store.first = None
    assert run(store).told == []


def test_a_chain_is_run_in_one_go_and_each_step_is_reported() -> None:
    """One hint, five steps."""
    store = Steps()
    reports = run(store)
    assert reports.told == [f"s{n} {what}" for n in range(5) for what in ("started", "ended")]
    assert store.finished[-1][2].ending is not None


def test_a_hint_carries_a_worker_no_further_than_its_limits() -> None:
    """In steps, in seconds, and not at all while the worker drains."""
    for limits, expected in (
        (ContinuationLimits(max_steps=3), [True, True, False]),
        (ContinuationLimits(max_seconds=0), [False]),
    ):
        store = Steps()
        run(store, limits=limits)
        assert store.asked_to_continue == expected
    draining = RunningSteps()
    draining.drain()
    store = Steps()
    run(store, running=draining)
    assert store.asked_to_continue == [False]


def test_an_agent_sees_its_step_and_says_how_it_fell_short() -> None:
    """Degradations go with the output."""

    def agent(step: StepContext) -> Any:
        step.degradations.append(Degradation("no_passages", "None."))
        return {"question": step.input["question"], "attempt": step.attempt, "tier": step.tier.value}

    outcome, decision = outcome_of(agent)
    assert outcome.output == {"question": "?", "attempt": 1, "tier": "fast"}
    assert outcome.degradations == ({"code": "no_passages", "message": "None."},)
    assert decision.step is StepStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("error", "code", "transient"),
    [
        (StepError("no_luck", "Try less."), "no_luck", False),
        (StepError("bad_luck", "Again.", transient=True), "bad_luck", True),
        (ModelError("overloaded_error", "529", transient=True), "overloaded_error", True),
        (ModelError("invalid_request_error", "400", transient=False), "invalid_request_error", False),
        (ValueError("the prompt was: secret"), "agent_error", True),
        (KeyError("secret"), "agent_error", True),
        (RecursionError(), "agent_error", True),
        (StepError("x" * 300, "Too long a code."), "x" * 64, False),
    ],
)
def test_what_an_agent_raises_is_its_attempts_failure(error: Exception, code: str, transient: bool) -> None:
    """Classed, with a traceback that shows no values, and a code that can be stored."""
    outcome, decision = outcome_of(raises(error))
    failure = outcome.failure
    assert failure is not None
    assert (failure.code, failure.transient) == (code, transient)
    assert "in agent" in failure.traceback
    assert "secret" not in failure.message + failure.traceback
    expected = {StepStatus.WAITING, StepStatus.READY} if transient else {StepStatus.DEAD}
    assert decision.step in expected


def test_what_a_provider_asks_to_wait_is_waited() -> None:
    """retry-after reaches the decision."""
    error = ModelError("rate_limit_error", "429", transient=True, retry_after_seconds=40)
    assert failure_of(error).retry_after_seconds == 40
    _, decision = outcome_of(raises(error))
    assert (decision.step, decision.delay_seconds) == (StepStatus.WAITING, 40)


def test_a_deferred_call_gives_the_slot_up_and_is_no_failure() -> None:
    """The step waits for what the call waits for; a wait past the workflow's end is a failure."""
    outcome, decision = outcome_of(raises(deferred(seconds=40)))
    assert outcome.failure is None
    assert outcome.wait is not None
    assert (outcome.wait.code, outcome.wait.waiting_for) == ("rate_limited", WaitingFor.RATE)
    assert (decision.step, decision.waiting_for, decision.delay_seconds) == (
        StepStatus.WAITING,
        WaitingFor.RATE,
        40,
    )
    outcome, _ = outcome_of(raises(deferred(seconds=60)))
    assert outcome.wait is None
    assert outcome.failure is not None


def deferred(seconds: float) -> CallDeferred:
    return CallDeferred("rate_limited", "It waits.", waiting_for="rate", seconds=seconds)


def test_an_agent_that_is_not_installed_is_a_permanent_failure() -> None:
    """It names what is missing."""
    store = Steps()
    run(store, None)
    ((_, outcome, decision),) = store.finished
    assert outcome.failure is not None
    assert (outcome.failure.code, decision.step) == ("unknown_agent", StepStatus.DEAD)
    assert "'agent'" in outcome.failure.message


NOT_JSON = {
    "an object": object(),
    "a set": {"a": {1, 2}},
    "bytes": b"x",
    "an integer beyond 64 bits": 2**70,
    "half a surrogate pair": "\ud800",
    "a circle": (circle := []),
}
circle.append(circle)


@pytest.mark.parametrize("output", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_an_output_that_is_no_json_is_a_permanent_failure(output: Any) -> None:
    """The attempt is finished all the same: what it paid is settled with it."""
    outcome, decision = outcome_of(lambda step: output)
    assert outcome.failure is not None
    assert (outcome.failure.code, decision.step) == ("output_not_json", StepStatus.DEAD)


def test_a_retry_that_could_not_start_in_time_is_not_made() -> None:
    """What the attempt itself has taken counts: the run's error says why, not that its deadline passed."""
    error = ModelError("rate_limit_error", "429", transient=True, retry_after_seconds=0.5)

    def slow(step: StepContext) -> Any:
        while step.deadline.seconds_left > 29.7:
            pass
        raise error

    soon: dict[str, Any] = {
        "workflow_seconds_left": 0.7,
        "policy": RetryPolicy(max_attempts=3, base_backoff_seconds=0.01),
    }
    _, decision = outcome_of(raises(error), **soon)
    assert decision.step is StepStatus.WAITING
    _, decision = outcome_of(slow, **soon)
    assert decision.step is StepStatus.DEAD


def test_a_decision_on_an_older_revision_is_made_again() -> None:
    """As often as another step got in between."""
    store = Steps(conflicts=3)
    run(store, limits=ContinuationLimits(max_steps=1))
    ((step, _, _),) = store.finished
    assert step.revision == 3


def test_an_attempt_is_on_the_register_while_it_runs() -> None:
    """So that its lease is renewed and it can be interrupted."""
    running = RunningSteps()
    seen: list[int] = []

    def agent(step: StepContext) -> Any:
        (held,) = running.snapshot()
        assert (held.step_id, held.attempt, held.call) == (step.step_id, step.attempt, step.call)
        seen.append(running.interrupt_all_but([(held.step_id, held.attempt)], among=[held]))
        assert not held.call.is_interrupted
        seen.append(running.interrupt_all_but([], among=[held]))
        assert held.call.is_interrupted
        return {}

    run(Steps(), agent, ContinuationLimits(max_steps=1), running)
    assert seen == [0, 1]
    assert (running.snapshot(), running.ended) == ([], 1)


def test_a_step_in_a_session_is_told_the_room_of_its_conversation() -> None:
    """That of the smallest window that the steps after it may meet; one outside of a session has none."""
    answering = replace(CHAIN.steps[1], min_tier=Tier.POWERFUL, max_output_tokens=100)
    talk = replace(CHAIN, steps=(CHAIN.steps[0], answering, *CHAIN.steps[2:]))
    windows = dict(zip(Tier, (50_000, 100_000, 150_000), strict=True))
    catalogue = Catalogue(
        {
            tier: replace(settings, context_window_tokens=windows[tier], max_output_tokens=1_000)
            for tier, settings in DEFAULT_CATALOGUE.tiers.items()
        }
    )
    told: list[int] = []

    def listening(step: StepContext) -> Any:
        told.append(step.session_tokens)
        return {}

    for fields in ({"definition": talk}, {"definition": CHAIN}, {"definition": talk, "session_id": None}):
        named = {"session_id": uuid.UUID(int=7), **fields}
        run(Steps(**named), listening, ContinuationLimits(max_steps=1), catalogue=catalogue)
    assert told == [15_000, 5_000, 0]
