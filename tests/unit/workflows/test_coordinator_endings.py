"""How runs end and are interrupted: partial results, cancelling, deadlines, pauses, what comes too late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentplatform.execution.retry import RetryPolicy
from agentplatform.workflows import decisions
from agentplatform.workflows.decisions import (
    CancelRequested,
    DeadlinePassed,
    Decision,
    Ending,
    IllegalEvent,
    PauseRequested,
    ResumeRequested,
    StepFailed,
    StepSucceeded,
)
from agentplatform.workflows.statuses import WorkflowStatus
from tests.unit.workflows.runs import (
    CANCELLED,
    DEAD,
    DIAMOND,
    PASSING,
    PERMANENT,
    SUCCEEDED,
    Run,
    define,
    spec,
)


class TestPartialResults:
    """`allow_partial` keeps what there is when a run ends early."""

    def test_the_furthest_outputs_are_the_result(self) -> None:
        """Not those that others were built upon."""
        run = Run(replace(DIAMOND, allow_partial=True))
        run.succeed("a")
        run.succeed("b")
        ending = run.fail("c").ending
        assert ending is not None
        assert (ending.status, ending.results) == (WorkflowStatus.PARTIAL, ("b",))
        assert ending.error is not None
        assert ending.error["step"] == "c"

    def test_what_has_nothing_to_show_has_failed(self) -> None:
        """No step had succeeded."""
        ending = Run(replace(DIAMOND, allow_partial=True)).fail("a").ending
        assert ending is not None
        assert (ending.status, ending.results) == (WorkflowStatus.FAILED, ())

    def test_a_result_that_is_there_is_the_result(self) -> None:
        """Although a later step died."""
        run = Run(define(spec("a"), spec("b", "a"), result="a", allow_partial=True))
        run.succeed("a")
        ending = run.fail("b").ending
        assert ending is not None
        assert (ending.status, ending.results) == (WorkflowStatus.PARTIAL, ("a",))

    def test_without_it_nothing_is_kept(self) -> None:
        """Half a result would pass for a whole one."""
        run = Run(DIAMOND)
        run.succeed("a")
        ending = run.fail("b").ending
        assert ending is not None
        assert (ending.status, ending.results) == (WorkflowStatus.FAILED, ())


def test_a_cancelled_run_has_no_result_and_no_error() -> None:
    """Everything unfinished is cancelled."""
    run = Run(replace(DIAMOND, allow_partial=True))
    run.succeed("a")
    run.claim("b")
    assert run.decide(CancelRequested()) == Decision(ending=Ending(WorkflowStatus.CANCELLED))
    assert [run.counts(node) for node in "abcd"] == [{SUCCEEDED: 1}] + [{CANCELLED: 1}] * 3


@pytest.mark.parametrize("allow_partial", [False, True])
def test_a_deadline_ends_a_run_with_what_there_is(allow_partial: bool) -> None:
    """Whatever its definition says of dead steps; each missing part is named, and how to give it more time."""
    run = Run(replace(DIAMOND, allow_partial=allow_partial))
    run.succeed("a")
    run.claim("b")
    ending = run.decide(DeadlinePassed()).ending
    assert ending is not None
    assert (ending.status, ending.results) == (WorkflowStatus.PARTIAL, ("a",))
    assert ending.error is not None
    assert ending.error["code"] == "deadline_exceeded"
    assert "deadline_seconds" in ending.error["message"]
    assert [note["step"] for note in ending.degradations] == ["b", "c", "d"]
    assert ending.degradations[0] == {
        "code": "step_missing",
        "message": "Step 'b' has no output: the deadline came first.",
        "step": "b",
    }


def test_a_deadline_before_any_output_is_a_failure() -> None:
    """There is nothing to show."""
    ending = Run(replace(DIAMOND, allow_partial=True)).decide(DeadlinePassed()).ending
    assert ending is not None
    assert (ending.status, ending.results, ending.degradations) == (WorkflowStatus.FAILED, (), ())


def test_elements_that_the_deadline_cut_off_are_counted() -> None:
    """Of a fan-out the note says how many are missing; skipped ones have notes of their own."""
    run = Run(
        define(spec("each", for_each="input.items", on_failure="skip"), spec("sum", "each")),
        {"items": [1, 2, 3, 4]},
    )
    run.succeed("each")
    run.fail("each")
    ending = run.decide(DeadlinePassed()).ending
    assert ending is not None
    assert [note["message"] for note in ending.degradations] == [
        "2 of 4 elements of step 'each' have no output: the deadline came first.",
        "Step 'sum' has no output: the deadline came first.",
    ]


def test_a_step_that_the_deadline_broke_off_is_not_dead() -> None:
    """Its worker tells of it before anybody has looked at the clock: the run ends as at its deadline."""
    run = Run(DIAMOND)
    run.succeed("a")
    decision = run.fail("b", PASSING, seconds_left=0.0)
    assert (decision.step, run.counts("b")) == (CANCELLED, {CANCELLED: 1})
    assert decision.ending is not None
    assert decision.ending.status is WorkflowStatus.PARTIAL
    assert decision.ending.error is not None
    assert decision.ending.error["code"] == "deadline_exceeded"
    other = Run(DIAMOND)
    assert other.fail("a", PERMANENT, seconds_left=0.0).step is DEAD


def test_a_partial_end_by_a_dead_step_names_what_is_missing() -> None:
    """The dead step, and what was cancelled with it."""
    run = Run(replace(DIAMOND, allow_partial=True))
    run.succeed("a")
    ending = run.fail("b").ending
    assert ending is not None
    assert [note["message"] for note in ending.degradations] == [
        f"Step '{key}' has no output: step 'b' gave up." for key in "bcd"
    ]


class TestPause:
    """A paused run starts nothing, and loses nothing."""

    def test_it_is_asked_for_once_and_again(self) -> None:
        """The second time changes nothing."""
        run = Run(DIAMOND)
        assert run.decide(PauseRequested()) == Decision(status=WorkflowStatus.PAUSED)
        assert run.decide(PauseRequested()) == Decision()
        assert run.decide(ResumeRequested()) == Decision(status=WorkflowStatus.RUNNING)
        assert run.decide(ResumeRequested()) == Decision()

    def test_what_runs_ends_while_it_is_paused(self) -> None:
        """Its successors are set free as ever; that none of them starts is the store's part."""
        run = Run(DIAMOND)
        run.claim("a")
        run.decide(PauseRequested())
        assert run.decide(StepSucceeded("a", None)).activate == ("b", "c")
        assert run.state.status is WorkflowStatus.PAUSED

    def test_a_held_run_is_not_resumed_by_hand(self) -> None:
        """It waits for budget; but it can be paused."""
        run = Run(DIAMOND)
        run.state = replace(run.state, status=WorkflowStatus.HELD)
        with pytest.raises(IllegalEvent, match="budget"):
            run.decide(ResumeRequested())
        assert run.decide(PauseRequested()).status is WorkflowStatus.PAUSED


@pytest.mark.parametrize("how", [CancelRequested(), DeadlinePassed()])
def test_nothing_happens_after_the_end(how: decisions.Event) -> None:
    """Neither news of a step nor another end."""
    run = Run(DIAMOND)
    run.claim("a")
    run.decide(how)
    failed = StepFailed("a", PERMANENT, 1, RetryPolicy(3), 1.0, 0.5)
    for event in (StepSucceeded("a", {}), failed, CancelRequested(), DeadlinePassed()):
        with pytest.raises(IllegalEvent):
            run.decide(event)


@pytest.mark.parametrize(
    "event", [StepSucceeded("a", {}), StepFailed("a", PASSING, 1, RetryPolicy(3), 1.0, 0.5)]
)
def test_news_of_a_step_that_does_not_run_are_illegal(event: decisions.Event) -> None:
    """It has not been claimed, or has ended."""
    run = Run(DIAMOND)
    with pytest.raises(IllegalEvent):
        run.decide(event)
    run.succeed("a")
    with pytest.raises(IllegalEvent):
        run.decide(event)
