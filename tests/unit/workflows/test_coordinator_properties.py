"""The reducer under random orders, duplicates, crashes, pauses and requeues."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentplatform.execution.retry import Failure, RetryPolicy
from agentplatform.workflows import coordinator, decisions
from agentplatform.workflows.decisions import (
    CancelRequested,
    DeadlinePassed,
    Decision,
    Event,
    IllegalEvent,
    PauseRequested,
    ResumeRequested,
    StepFailed,
    StepOmitted,
    StepSucceeded,
    StepWaits,
    WorkflowState,
)
from agentplatform.workflows.definition import Definition, StepSpec
from agentplatform.workflows.requeueing import GIVEN_UP, apply_requeue, decide_requeue
from agentplatform.workflows.statuses import (
    STEP_REQUEUE_TRANSITIONS,
    STEP_TRANSITIONS,
    WORKFLOW_TRANSITIONS,
    StepStatus,
    WaitingFor,
    WorkflowStatus,
)

POLICY = RetryPolicy(max_attempts=3, max_lost_workers=2)
MOST_ROUNDS = 3
LOST = Failure("worker_lost", "lost", transient=True)


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """A random acyclic definition of up to seven nodes, some of them fan-outs over an input or an output, or loops."""
    specs: list[StepSpec] = []
    for number in range(draw(st.integers(1, 7))):
        earlier = [spec.key for spec in specs]
        single = [spec.key for spec in specs if spec.for_each is None]
        sources = [None, "input.items", *(f"{key}.items" for key in single)]
        for_each = draw(st.sampled_from(sources))
        is_loop = for_each is None and draw(st.integers(0, 4)) == 0
        specs.append(
            StepSpec(
                key=f"n{number}",
                agent="any",
                needs=tuple(
                    draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else ()
                ),
                for_each=for_each,
                max_concurrent=draw(st.sampled_from([None, None, 1, 2])) if for_each else None,
                until="done" if is_loop else None,
                max_iterations=MOST_ROUNDS if is_loop else None,
                when=draw(st.sampled_from([None, None, "input.wanted"])),
                on_failure=draw(st.sampled_from(["fail", "skip"])),
            )
        )
    return Definition(
        type="random",
        title="random",
        description="",
        input_schema={"type": "object"},
        steps=tuple(specs),
        result=specs[-1].key,
        allow_partial=draw(st.booleans()),
    )


class Run(RuleBasedStateMachine):
    """A run whose steps are kept one by one, as the database keeps them, and moved only by decisions."""

    @initialize(definition=definitions(), items=st.lists(st.integers(), max_size=4))
    def start(self, definition: Definition, items: list[int]) -> None:
        self.definition = definition
        self.steps: dict[tuple[str, int], StepStatus] = {}
        self.attempts: dict[tuple[str, int], int] = {}
        self.lost: dict[tuple[str, int], int] = {}
        self.endings: list[WorkflowStatus] = []
        empty, decision = coordinator.plan(definition, {"items": items})
        self.state: WorkflowState = empty
        self.store(decision)

    # --- what the database does -------------------------------------------------------------------------
    def store(self, decision: Decision, step: tuple[str, int] | None = None) -> None:
        """Moves the steps as `workflows_apply` does; every move must be legal."""
        before = self.state.status
        self.state = decisions.apply(self.state, decision)
        assert self.state.status in {before, *WORKFLOW_TRANSITIONS[before]}
        if step is not None and decision.step is not None:
            self.move(step, decision.step)
        for expansion in decision.expand:
            for index in range(expansion.first_index, expansion.first_index + expansion.count):
                assert (expansion.node, index) not in self.steps, "a step came into being twice"
                self.steps[expansion.node, index] = expansion.status
        for key in list(self.steps):
            if key[0] in decision.activate and self.steps[key] is StepStatus.BLOCKED:
                self.move(key, StepStatus.READY)
        self.follow(decision, expanded=True)
        if decision.ending is not None:
            assert decision.ending.status in WORKFLOW_TRANSITIONS[before]
            self.endings.append(decision.ending.status)
            for key, status in list(self.steps.items()):
                if not status.is_terminal:
                    self.move(key, StepStatus.CANCELLED)

    def follow(self, decision: Decision, *, expanded: bool = False) -> None:
        """What comes into being, unless it has, what is released, and what is omitted."""
        for expansion in () if expanded else decision.expand:
            for index in range(expansion.count):
                self.steps[expansion.node, index] = expansion.status
        for release in decision.release:
            blocked = [key for key in self.in_status(StepStatus.BLOCKED) if key[0] == release.node]
            for key in blocked[: release.count]:
                self.move(key, StepStatus.READY)
        for key in self.in_status(StepStatus.BLOCKED):
            if key[0] in decision.omit:
                self.move(key, StepStatus.OMITTED)

    def move(self, key: tuple[str, int], target: StepStatus) -> None:
        assert target in STEP_TRANSITIONS[self.steps[key]], f"{self.steps[key]} → {target} is not legal"
        self.steps[key] = target

    def in_status(self, *statuses: StepStatus) -> list[tuple[str, int]]:
        return sorted(key for key, status in self.steps.items() if status in statuses)

    def decide(self, event: Event, step: tuple[str, int] | None = None) -> None:
        self.store(coordinator.decide(self.definition, self.state, event), step)

    def has_ready(self) -> bool:
        return bool(self.in_status(StepStatus.READY)) and self.state.status is WorkflowStatus.RUNNING

    def has_given_up(self) -> bool:
        return bool(self.in_status(*GIVEN_UP)) and self.state.status is not WorkflowStatus.CANCELLED

    def has_running(self) -> bool:
        return bool(self.in_status(StepStatus.RUNNING))

    def is_open(self) -> bool:
        return not self.endings

    # --- what happens -----------------------------------------------------------------------------------
    @precondition(has_ready)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.in_status(StepStatus.READY)))
        self.claim_step(key)

    def claim_step(self, key: tuple[str, int]) -> None:
        self.state = decisions.claimed(self.state, key[0], StepStatus.READY)
        self.move(key, StepStatus.RUNNING)
        self.attempts[key] = self.attempts.get(key, 0) + 1

    @precondition(has_running)
    @rule(data=st.data(), items=st.lists(st.integers(), max_size=3), done=st.booleans())
    def succeed(self, data: st.DataObject, items: list[int], done: bool) -> None:
        key = data.draw(st.sampled_from(self.in_status(StepStatus.RUNNING)))
        self.decide(StepSucceeded(key[0], {"items": items, "done": done}), key)

    @precondition(has_running)
    @rule(data=st.data())
    def omit(self, data: st.DataObject) -> None:
        """Of a step with a condition, when it does not hold."""
        key = data.draw(st.sampled_from(self.in_status(StepStatus.RUNNING)))
        if self.definition.step(key[0]).when is not None and key[1] == 0:
            self.decide(StepOmitted(key[0]), key)

    @precondition(has_running)
    @rule(data=st.data(), transient=st.booleans(), jitter=st.floats(0, 1, exclude_max=True))
    def fail(self, data: st.DataObject, transient: bool, jitter: float) -> None:
        key = data.draw(st.sampled_from(self.in_status(StepStatus.RUNNING)))
        self.decide(self.failure(key, Failure("x", "x", transient=transient), jitter), key)

    @precondition(has_running)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.in_status(StepStatus.RUNNING)))
        self.lost[key] = self.lost.get(key, 0) + 1
        self.decide(self.failure(key, LOST, 0.0), key)

    @precondition(has_running)
    @rule(data=st.data(), waiting_for=st.sampled_from([WaitingFor.RATE, WaitingFor.PROVIDER_BATCH]))
    def wait(self, data: st.DataObject, waiting_for: WaitingFor) -> None:
        """An attempt that gives its slot up counts for nothing."""
        key = data.draw(st.sampled_from(self.in_status(StepStatus.RUNNING)))
        self.decide(StepWaits(key[0], waiting_for, 5.0), key)
        self.attempts[key] -= 1

    @precondition(lambda self: bool(self.in_status(StepStatus.WAITING)))
    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.in_status(StepStatus.WAITING)))
        self.wake(key)

    def wake(self, key: tuple[str, int]) -> None:
        nodes = {
            **self.state.nodes,
            key[0]: self.state.nodes[key[0]].moved(StepStatus.WAITING, StepStatus.READY),
        }
        self.state = WorkflowState(self.state.status, nodes)
        self.move(key, StepStatus.READY)

    @precondition(is_open)
    @rule(event=st.sampled_from([CancelRequested(), DeadlinePassed()]))
    def end_from_outside(self, event: Event) -> None:
        self.decide(event)

    @precondition(is_open)
    @rule(event=st.sampled_from([PauseRequested(), ResumeRequested()]))
    def pause_or_resume(self, event: Event) -> None:
        self.decide(event)
        paused = isinstance(event, PauseRequested)
        assert self.state.status is (WorkflowStatus.PAUSED if paused else WorkflowStatus.RUNNING)

    @precondition(has_given_up)
    @rule(data=st.data())
    def requeue(self, data: st.DataObject) -> None:
        """Every dead step, and some of the skipped ones; while it runs, unless what depends on them has begun."""
        dead = self.in_status(StepStatus.DEAD)
        skipped = self.in_status(StepStatus.SKIPPED)
        chosen = dead + (data.draw(st.lists(st.sampled_from(skipped), unique=True)) if skipped else [])
        if not chosen:
            return
        nodes: dict[str, int] = {}
        for node, _ in chosen:
            nodes[node] = nodes.get(node, 0) + 1
        try:
            requeue = decide_requeue(self.definition, self.state, nodes)
        except IllegalEvent:
            assert not self.state.status.is_terminal
            return
        assert not self.endings or WorkflowStatus.RUNNING in WORKFLOW_TRANSITIONS[self.state.status]
        self.state = apply_requeue(self.state, requeue, nodes)
        self.endings.clear()
        for key in sorted(self.steps):
            if key[0] in requeue.withdraw:
                del self.steps[key]
            elif key[0] in requeue.block or self.steps[key] is StepStatus.CANCELLED:
                if self.steps[key] is not StepStatus.BLOCKED:
                    self.restart(key, StepStatus.BLOCKED)
            elif key in chosen:
                lines_up = key[0] in requeue.line_up
                self.restart(key, StepStatus.BLOCKED if lines_up else StepStatus.READY)
        for key in self.in_status(StepStatus.BLOCKED):
            if key[0] in requeue.activate:
                self.move(key, StepStatus.READY)
        self.follow(requeue.then)

    def restart(self, key: tuple[str, int], target: StepStatus) -> None:
        assert target in STEP_REQUEUE_TRANSITIONS[self.steps[key]]
        self.steps[key] = target
        self.attempts[key] = self.lost[key] = 0

    @precondition(lambda self: not self.is_open())
    @rule(data=st.data())
    def late_news_changes_nothing(self, data: st.DataObject) -> None:
        node = data.draw(st.sampled_from([spec.key for spec in self.definition.steps]))
        event = data.draw(
            st.sampled_from(
                [
                    StepSucceeded(node, {"items": [1], "done": True}),
                    self.failure((node, 0), LOST, 0.0),
                    CancelRequested(),
                ]
            )
        )
        with pytest.raises(IllegalEvent):
            coordinator.decide(self.definition, self.state, event)

    def failure(self, key: tuple[str, int], failure: Failure, jitter: float) -> StepFailed:
        return StepFailed(
            key[0], failure, self.attempts.get(key, 1), POLICY, 1e9, jitter, self.lost.get(key, 0)
        )

    # --- what must hold ---------------------------------------------------------------------------------
    @invariant()
    def counts_are_those_of_the_steps(self) -> None:
        for spec in self.definition.steps:
            counts: dict[StepStatus, int] = {}
            for (node, _), status in self.steps.items():
                if node == spec.key:
                    counts[status] = counts.get(status, 0) + 1
            assert dict(self.state.nodes[spec.key].counts) == counts

    @invariant()
    def it_ends_at_most_once(self) -> None:
        assert len(self.endings) <= 1
        if self.endings:
            assert self.state.status is self.endings[0]
            assert all(status.is_terminal for status in self.steps.values())

    @invariant()
    def an_open_run_can_go_on(self) -> None:
        if not self.endings:
            assert self.in_status(StepStatus.READY, StepStatus.RUNNING, StepStatus.WAITING), "a step was lost"

    @invariant()
    def no_step_starts_before_those_it_needs_have_ended(self) -> None:
        for (node, _), status in self.steps.items():
            if status in (StepStatus.RUNNING, StepStatus.SUCCEEDED):
                for source in self.definition.step(node).sources:
                    assert self.state.nodes[source].is_settled

    @invariant()
    def no_more_elements_are_under_way_than_may_be(self) -> None:
        for spec in self.definition.steps:
            under_way = [
                key
                for key in self.in_status(StepStatus.READY, StepStatus.RUNNING, StepStatus.WAITING)
                if key[0] == spec.key
            ]
            assert spec.max_concurrent is None or len(under_way) <= spec.max_concurrent

    @invariant()
    def no_loop_goes_round_too_often(self) -> None:
        for spec in self.definition.steps:
            if spec.until is not None:
                assert sum(key[0] == spec.key for key in self.steps) <= MOST_ROUNDS

    @invariant()
    def no_step_is_tried_more_often_than_its_policy_says(self) -> None:
        for key, attempts in self.attempts.items():
            lost = self.lost.get(key, 0)
            assert lost <= POLICY.max_lost_workers
            assert attempts - lost <= POLICY.max_attempts

    def teardown(self) -> None:
        """Left alone, every run ends."""
        if not hasattr(self, "state"):
            return
        for _ in range(1_000):
            if self.endings:
                return
            if self.state.status is WorkflowStatus.PAUSED:
                self.decide(ResumeRequested())
            for key in self.in_status(StepStatus.WAITING):
                self.wake(key)
            for key in self.in_status(StepStatus.READY):
                self.claim_step(key)
            key = self.in_status(StepStatus.RUNNING)[0]
            self.decide(StepSucceeded(key[0], {"items": [1, 2], "done": True}), key)
        raise AssertionError("the run did not end")


TestRun = Run.TestCase
TestRun.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
