"""The coordinator's decisions, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from agentplatform.execution.retry import Failure
from agentplatform.workflows import coordinator
from agentplatform.workflows.decisions import Ending, Expansion, Release
from agentplatform.workflows.definition import (
    MAX_FAN_OUT,
    DefinitionError,
    FanOutError,
)
from agentplatform.workflows.statuses import StepStatus, WorkflowStatus
from tests.unit.workflows.runs import (
    BLOCKED,
    CANCELLED,
    DEAD,
    DIAMOND,
    PASSING,
    PERMANENT,
    READY,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    WAITING,
    Run,
    define,
    spec,
)


def test_a_run_starts_with_the_steps_that_need_nothing() -> None:
    """All there are, the others blocked."""
    run = Run(define(spec("a"), spec("b"), spec("c", "a", "b")))
    assert [run.counts(node) for node in "abc"] == [{READY: 1}, {READY: 1}, {BLOCKED: 1}]
    assert (run.last.activate, run.last.ending) == ((), None)


def test_a_success_frees_what_waited_for_it_alone() -> None:
    """A diamond: both arms at once, the end after both."""
    run = Run(DIAMOND)
    assert run.succeed("a").activate == ("b", "c")
    assert run.succeed("c").activate == ()
    assert run.succeed("b").activate == ("d",)
    assert run.succeed("d").ending == Ending(WorkflowStatus.SUCCEEDED, ("d",))
    assert run.state.status is WorkflowStatus.SUCCEEDED


def test_a_run_ends_when_its_last_step_does_whichever_is_the_result() -> None:
    """The result may be ready long before."""
    run = Run(define(spec("a"), spec("b"), result="a"))
    assert run.succeed("a").ending is None
    assert run.succeed("b").ending == Ending(WorkflowStatus.SUCCEEDED, ("a",))


@pytest.mark.parametrize(
    ("failure", "attempt", "seconds_left", "jitter", "step", "delay"),
    [
        (PASSING, 1, 1e6, 0.5, WAITING, 0.5),
        (PASSING, 1, 1e6, 0.0, READY, 0.0),
        (PASSING, 2, 1e6, 0.5, WAITING, 1.0),
        (PASSING, 3, 1e6, 0.5, DEAD, 0.0),
        (PASSING, 1, 0.4, 0.5, DEAD, 0.0),
        (PERMANENT, 1, 1e6, 0.5, DEAD, 0.0),
    ],
)
def test_a_failure_is_tried_again_or_is_the_end(
    failure: Failure, attempt: int, seconds_left: float, jitter: float, step: StepStatus, delay: float
) -> None:
    """As the retry policy says; while it is tried again nothing else changes."""
    run = Run(DIAMOND)
    decision = run.fail("a", failure, attempt=attempt, seconds_left=seconds_left, jitter=jitter)
    assert (decision.node, decision.step, decision.delay_seconds) == ("a", step, delay)
    assert (decision.ending is not None) == (step is DEAD)
    assert (decision.activate, decision.expand) == ((), ())


def test_a_dead_step_takes_its_workflow_with_it() -> None:
    """The error names it; what runs, waits or was never started is cancelled."""
    run = Run(DIAMOND)
    run.succeed("a")
    run.claim("c")
    decision = run.fail("b")
    error = {"code": "bad", "message": "It is bad.", "step": "b"}
    assert decision.ending == Ending(WorkflowStatus.FAILED, (), error)
    assert [run.counts(node) for node in "abcd"] == [
        {SUCCEEDED: 1},
        {DEAD: 1},
        {CANCELLED: 1},
        {CANCELLED: 1},
    ]


def test_a_skipped_step_is_gone_on_without() -> None:
    """Its successors run, and the result is partial and says what is missing."""
    run = Run(define(spec("a", on_failure="skip"), spec("b", "a")))
    decision = run.fail("a")
    assert (decision.step, decision.activate, decision.ending) == (SKIPPED, ("b",), None)
    ending = run.succeed("b").ending
    assert ending is not None
    assert (ending.status, ending.results) == (WorkflowStatus.PARTIAL, ("b",))
    assert ending.error == {"code": "steps_skipped", "message": "The result was made without: a."}


def test_a_skippable_step_is_tried_again_first() -> None:
    """Skipping is for when retries are used up."""
    run = Run(define(spec("a", on_failure="skip"), spec("b", "a")))
    assert run.fail("a", PASSING).step is WAITING


def test_a_result_that_was_skipped_is_no_result() -> None:
    """The workflow has failed, and says so."""
    run = Run(define(spec("a"), spec("b", "a", on_failure="skip")))
    run.succeed("a")
    ending = run.fail("b").ending
    assert ending is not None
    assert (ending.status, ending.results) == (WorkflowStatus.FAILED, ())
    assert ending.error is not None
    assert ending.error["code"] == "steps_skipped"


class TestFanOut:
    """A step for every element of a list, and what comes after all of them."""

    OVER_INPUT = define(spec("each", for_each="input.a.items"), spec("sum", "each"))
    OVER_OUTPUT = define(spec("plan"), spec("each", for_each="plan.items"), spec("sum", "each"))
    OVER_BOTH = define(spec("plan"), spec("slow"), spec("each", "slow", for_each="plan.items"))

    def test_over_the_input_it_is_known_at_once(self) -> None:
        """Ready steps from the start; the sum waits for all."""
        run = Run(self.OVER_INPUT, {"a": {"items": [1, 2, 3]}})
        assert run.counts("each") == {READY: 3}
        assert run.succeed("each").activate == ()
        assert run.succeed("each").activate == ()
        assert run.succeed("each").activate == ("sum",)

    @pytest.mark.parametrize(
        "wrong", [{}, {"a": 1}, {"a": {"items": None}}, {"a": {"items": {}}}, {"a": [[]]}]
    )
    def test_a_list_that_is_not_there_is_an_error_of_the_input(self, wrong: dict[str, Any]) -> None:
        """Before anything is stored."""
        with pytest.raises(DefinitionError, match=r"list at 'a\.items'"):
            coordinator.plan(self.OVER_INPUT, wrong)

    def test_over_an_output_it_is_known_when_that_is(self) -> None:
        """The steps come into being with the success, ready."""
        run = Run(self.OVER_OUTPUT)
        assert run.state.nodes["each"].total is None
        decision = run.succeed("plan", {"items": ["ab"] * 2})
        assert decision.expand == (Expansion("each", 2, READY),)
        assert run.counts("sum") == {BLOCKED: 1}

    def test_an_output_without_the_list_is_an_error(self) -> None:
        """Nothing has been decided then."""
        for output in (None, [], {}, {"items": "abc"}):
            run = Run(self.OVER_OUTPUT)
            with pytest.raises(DefinitionError):
                run.succeed("plan", output)
            assert run.counts("plan") == {RUNNING: 1}

    def test_over_too_much_it_is_refused(self) -> None:
        """Of the input before anything is stored, of an output before anything is decided; the most may be."""
        most, more = [0] * MAX_FAN_OUT, [0] * (MAX_FAN_OUT + 1)
        with pytest.raises(FanOutError, match=f"'a.items' has {MAX_FAN_OUT + 1} elements") as caught:
            coordinator.plan(self.OVER_INPUT, {"a": {"items": more}})
        assert (caught.value.code, caught.value.path) == ("fan_out_too_large", ("a", "items"))
        run = Run(self.OVER_OUTPUT)
        with pytest.raises(FanOutError):
            run.succeed("plan", {"items": more})
        assert run.counts("plan") == {RUNNING: 1}
        assert Run(self.OVER_INPUT, {"a": {"items": most}}).counts("each") == {READY: MAX_FAN_OUT}
        assert run.succeed("plan", {"items": most}).expand == (Expansion("each", MAX_FAN_OUT, READY),)

    def test_over_nothing_in_the_input_it_is_done(self) -> None:
        """What comes after runs at once."""
        run = Run(self.OVER_INPUT, {"a": {"items": []}})
        assert run.counts("each") == {}
        assert run.counts("sum") == {READY: 1}

    def test_over_an_empty_output_it_is_done(self) -> None:
        """With the step that listed nothing."""
        run = Run(self.OVER_OUTPUT)
        decision = run.succeed("plan", {"items": []})
        assert (decision.expand, decision.activate) == ((Expansion("each", 0, READY),), ("sum",))

    def test_a_run_of_nothing_ends_where_it_starts(self) -> None:
        """The only node is a list without elements."""
        run = Run(define(spec("each", for_each="input.items")), {"items": []})
        assert run.last.ending == Ending(WorkflowStatus.SUCCEEDED, ("each",))
        assert run.state.status is WorkflowStatus.SUCCEEDED

    def test_empty_lists_one_after_the_other_are_passed_at_once(self) -> None:
        """A node over nothing that waits for another over nothing."""
        chain = define(spec("a", for_each="input.x"), spec("b", "a", for_each="input.x"), spec("c", "b"))
        assert Run(chain, {"x": []}).counts("c") == {READY: 1}
        mixed = Run(define(spec("s"), spec("b", "s", for_each="input.x"), spec("c", "b")), {"x": []})
        assert mixed.counts("c") == {BLOCKED: 1}
        assert mixed.succeed("s").activate == ("c",)

    @pytest.mark.parametrize("first", ["plan", "slow"])
    def test_it_waits_for_all_that_it_needs(self, first: str) -> None:
        """Whichever comes first: the list, or another step."""
        run = Run(self.OVER_BOTH)
        second = {"plan": "slow", "slow": "plan"}[first]
        output = {"items": [1, 2]}
        run.succeed(first, output)
        assert run.counts("each").get(READY, 0) == 0
        run.succeed(second, output)
        assert run.counts("each") == {READY: 2}

    def test_elements_that_may_be_skipped_leave_a_partial_sum(self) -> None:
        """One of two is missing."""
        run = Run(
            define(spec("each", for_each="input.items", on_failure="skip"), spec("sum", "each")),
            {"items": [1, 2]},
        )
        run.fail("each")
        assert run.succeed("each").activate == ("sum",)
        ending = run.succeed("sum").ending
        assert ending is not None
        assert ending.status is WorkflowStatus.PARTIAL

    def test_a_skipped_list_has_no_elements(self) -> None:
        """Neither are there steps for it, nor does anything wait for them."""
        run = Run(
            define(spec("plan", on_failure="skip"), spec("each", for_each="plan.items"), spec("sum", "each"))
        )
        decision = run.fail("plan")
        assert decision.expand == (Expansion("each", 0, BLOCKED),)
        assert decision.activate == ("sum",)

    def test_one_dead_element_ends_the_others(self) -> None:
        """They are cancelled, those that succeeded stay."""
        run = Run(self.OVER_INPUT, {"a": {"items": [1, 2, 3]}})
        run.succeed("each")
        assert run.fail("each").ending is not None
        assert run.counts("each") == {SUCCEEDED: 1, DEAD: 1, CANCELLED: 1}


class TestDecisionsOfElements:
    """Elements of one fan-out are decided on without knowing of each other, until the last."""

    EACH = define(
        spec("each", for_each="input.items", max_concurrent=2), spec("sum", "each"), spec("free", "sum")
    )

    def test_a_decision_on_an_element_is_the_same_whatever_others_have_done(self) -> None:
        """As long as some are left; it lets the next one start."""
        first, second = Run(self.EACH, {"items": [1, 2, 3, 4]}), Run(self.EACH, {"items": [1, 2, 3, 4]})
        second.succeed("each")
        assert first.succeed("each") == second.succeed("each")
        assert first.last.commutes
        assert first.last.release == (Release("each", 1),)

    def test_the_last_element_is_decided_on_what_there_is(self) -> None:
        """It sets free what comes after."""
        run = Run(self.EACH, {"items": [1, 2]})
        assert run.succeed("each").commutes
        assert not run.succeed("each").commutes
        assert run.last.activate == ("sum",)

    def test_a_wait_and_a_second_attempt_concern_nobody_else(self) -> None:
        """Of any step."""
        run = Run(self.EACH, {"items": [1]})
        assert run.fail("each", PASSING).commutes
