"""How a workflow goes on from steps that gave up, case by case; the properties are those of the reducer."""

from __future__ import annotations

from typing import Any

import pytest

from agentplatform.workflows import coordinator, decisions
from agentplatform.workflows.decisions import (
    CancelRequested,
    IllegalEvent,
    NodeState,
    Release,
    StepSucceeded,
)
from agentplatform.workflows.requeueing import Requeue, apply_requeue, decide_requeue
from agentplatform.workflows.statuses import WorkflowStatus
from tests.unit.workflows.runs import (
    BLOCKED,
    DIAMOND,
    READY,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    Run,
    define,
    spec,
)


def requeued(run: Run, **nodes: int) -> Requeue:
    """The decision, which `run` then stands after."""
    requeue = decide_requeue(run.definition, run.state, nodes)
    run.state = apply_requeue(run.state, requeue, nodes)
    return requeue


def test_a_failed_run_goes_on_from_its_dead_step() -> None:
    """What had succeeded stays; what was cancelled beside it is ready, what depends on it is blocked again."""
    run = Run(DIAMOND)
    run.succeed("a")
    run.claim("c")
    run.fail("b")
    assert requeued(run, b=1) == Requeue(block=("d",), withdraw=(), activate=("c",))
    assert run.state.status is WorkflowStatus.RUNNING
    assert [run.counts(node) for node in "abcd"] == [{SUCCEEDED: 1}, {READY: 1}, {READY: 1}, {BLOCKED: 1}]
    run.succeed("b")
    run.succeed("c")
    run.succeed("d")
    assert run.state.status is WorkflowStatus.SUCCEEDED


def test_what_was_made_without_a_skipped_step_is_made_again() -> None:
    """A partial result becomes a whole one; whatever did not depend on the step is left alone."""
    run = Run(define(spec("other"), spec("a", on_failure="skip"), spec("b", "a"), spec("c", "b")))
    run.succeed("other")
    run.fail("a")
    run.succeed("b")
    run.succeed("c")
    assert run.state.status is WorkflowStatus.PARTIAL
    assert requeued(run, a=1) == Requeue(block=("b", "c"), withdraw=(), activate=())
    assert run.counts("other") == {SUCCEEDED: 1}
    for node in "abc":
        run.succeed(node)
    assert run.state.status is WorkflowStatus.SUCCEEDED


def test_a_fan_out_whose_list_is_made_anew_is_withdrawn() -> None:
    """Its steps belong to a list that nobody will have made."""
    run = Run(
        define(
            spec("seed", on_failure="skip"),
            spec("plan", "seed"),
            spec("each", for_each="plan.items"),
            spec("sum", "each"),
        )
    )
    run.fail("seed")
    run.succeed("plan", {"items": [1, 2]})
    run.succeed("each")
    run.succeed("each")
    run.succeed("sum")
    assert requeued(run, seed=1) == Requeue(block=("plan", "sum"), withdraw=("each",), activate=())
    assert run.state.nodes["each"] == NodeState(None)
    run.succeed("seed")
    run.succeed("plan", {"items": [1, 2, 3]})
    assert run.counts("each") == {READY: 3}


def test_one_element_of_a_fan_out_is_run_again() -> None:
    """The others keep their outputs; those that the end cancelled go on too."""
    run = Run(define(spec("each", for_each="input.items"), spec("sum", "each")), {"items": [1, 2, 3]})
    run.succeed("each")
    run.fail("each")
    requeued(run, each=1)
    assert run.counts("each") == {SUCCEEDED: 1, READY: 2}
    assert run.counts("sum") == {BLOCKED: 1}


BOUNDED = define(
    spec("each", for_each="input.items", max_concurrent=2, on_failure="skip"),
    spec("sum", "each"),
    spec("beside"),
)


class TestBoundedFanOuts:
    """Elements that run again start as there is room for them."""

    def test_no_more_start_than_may_be_under_way(self) -> None:
        """The others wait, and take the places of those that end."""
        run = Run(BOUNDED, {"items": [1, 2, 3, 4, 5]})
        run.succeed("each")
        for _ in range(4):
            run.fail("each")
        run.succeed("sum")
        run.succeed("beside")
        assert requeued(run, each=4).then.release == (Release("each", 2),)
        assert run.counts("each") == {SUCCEEDED: 1, READY: 2, BLOCKED: 2}
        run.fail("each")
        assert run.counts("each") == {SUCCEEDED: 1, SKIPPED: 1, READY: 2, BLOCKED: 1}
        for _ in range(3):
            run.succeed("each")
        assert run.counts("each") == {SUCCEEDED: 4, SKIPPED: 1}
        run.succeed("sum")
        assert run.state.status is WorkflowStatus.PARTIAL

    def test_those_under_way_keep_their_places(self) -> None:
        """In a run that still goes on; where there is no room, the next end makes some."""
        run = Run(BOUNDED, {"items": [1, 2, 3, 4]})
        run.fail("each")
        run.fail("each")
        assert run.counts("each") == {SKIPPED: 2, READY: 2}
        assert requeued(run, each=2).then.release == ()
        assert run.counts("each") == {READY: 2, BLOCKED: 2}
        run.succeed("each")
        assert run.counts("each") == {SUCCEEDED: 1, READY: 2, BLOCKED: 1}

    def test_a_decision_from_before_the_requeue_still_makes_room(self) -> None:
        """It is stored after it, since elements are decided on without each other, and must lose nobody his turn."""
        run = Run(BOUNDED, {"items": [1, 2, 3]})
        run.fail("each")
        run.claim("each")
        stale = coordinator.decide(BOUNDED, run.state, StepSucceeded("each", 1))
        assert stale.commutes
        requeued(run, each=1)
        assert run.counts("each") == {RUNNING: 1, READY: 1, BLOCKED: 1}
        run.state = decisions.apply(run.state, stale)
        assert run.counts("each") == {SUCCEEDED: 1, READY: 2}

    def test_elements_that_wait_for_others_wait_for_them(self) -> None:
        """Where what they need runs again as well, that comes first, and then a few at a time."""
        definition = define(
            spec("a", on_failure="skip"),
            spec("each", "a", for_each="input.items", max_concurrent=1, on_failure="skip"),
        )
        run = Run(definition, {"items": [1, 2]})
        run.fail("a")
        run.fail("each")
        run.fail("each")
        assert requeued(run, a=1, each=2).line_up == ()
        assert run.counts("each") == {BLOCKED: 2}
        run.succeed("a")
        assert run.counts("each") == {READY: 1, BLOCKED: 1}


def test_a_step_that_depends_on_another_waits_for_it() -> None:
    """Both gave up and both run again, in their order."""
    run = Run(define(spec("a", on_failure="skip"), spec("b", "a", on_failure="skip"), spec("c", "b")))
    run.fail("a")
    run.fail("b")
    run.succeed("c")
    requeued(run, a=1, b=1)
    assert [run.counts(node) for node in "abc"] == [{READY: 1}, {BLOCKED: 1}, {BLOCKED: 1}]


def test_a_dead_step_cannot_be_left_behind() -> None:
    """The run could not end well without it."""
    run = Run(define(spec("a", on_failure="skip"), spec("b", "a")))
    run.fail("a")
    run.fail("b")
    assert requeued(run, a=1).block == ("b",)  # it depends on the other, so it runs again as well
    other = Run(define(spec("a", on_failure="skip"), spec("b")))
    other.fail("a")
    other.fail("b")
    with pytest.raises(IllegalEvent, match="'b' is dead: requeue that as well"):
        decide_requeue(other.definition, other.state, {"a": 1})


@pytest.mark.parametrize("nodes", [{"a": 1}, {"b": 2}])
def test_only_steps_that_gave_up_are_requeued(nodes: dict[str, Any]) -> None:
    """Neither one that succeeded nor more than there are."""
    run = Run(DIAMOND)
    run.succeed("a")
    run.fail("b")
    with pytest.raises(IllegalEvent, match="have given up"):
        decide_requeue(run.definition, run.state, nodes)


def test_a_cancelled_run_is_not_reopened() -> None:
    """Somebody wanted it to end."""
    run = Run(define(spec("a", on_failure="skip"), spec("b", "a")))
    run.fail("a")
    run.decide(CancelRequested())
    with pytest.raises(IllegalEvent, match="cancelled"):
        decide_requeue(run.definition, run.state, {"a": 1})


def test_while_a_run_goes_on_without_a_step_it_is_left_alone() -> None:
    """As long as nothing has begun that depends on the step, it may run again; then not before the end."""
    definition = define(spec("slow"), spec("a", on_failure="skip"), spec("b", "a", "slow"), spec("c", "a"))
    run = Run(definition)
    run.fail("a")
    with pytest.raises(IllegalEvent, match="gone on with step 'c'"):
        decide_requeue(definition, run.state, {"a": 1})
    patient = Run(define(spec("slow"), spec("a", on_failure="skip"), spec("b", "a", "slow")))
    patient.fail("a")
    assert patient.counts("a") == {SKIPPED: 1}
    assert requeued(patient, a=1) == Requeue(block=("b",), withdraw=(), activate=())
    assert patient.counts("a") == {READY: 1}
    assert decisions.apply(patient.state, decisions.Decision()).status is WorkflowStatus.RUNNING
