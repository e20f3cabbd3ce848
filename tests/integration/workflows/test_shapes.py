"""Conditions, loops, bounded fan-outs and added steps, from submission to the end, in the real database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from apps.workflows.dispatching import wake_due
from apps.workflows.models import Event, Workflow
from tests.integration.conftest import Hand
from tests.integration.workflows.worker import OneThread, later, statuses, worker

__all__ = ["worker"]

Submit = Callable[..., Workflow]


def test_a_branch_that_is_not_taken_is_omitted_with_all_that_needs_it(
    submit: Submit, worker: OneThread
) -> None:
    """The join gets what there is; nothing is degraded by it."""
    workflow = worker.done(submit("branches", {"output": {"way": "right"}}))
    assert statuses(workflow) == {
        "choose": "succeeded",
        "left": "omitted",
        "right": "succeeded",
        "after_left": "omitted",
        "join": "succeeded",
    }
    assert (workflow.status, workflow.degradations) == ("succeeded", [])
    assert workflow.result == {"after_left": None, "right": {"key": "right", "needs": ["choose"]}}
    told = Event.objects.filter(workflow=workflow, data__status="omitted").values_list("data__key", flat=True)
    assert set(told) == {"left", "after_left"}


def test_where_no_branch_is_taken_the_furthest_output_is_the_result(
    submit: Submit, worker: OneThread
) -> None:
    """The join is omitted as well, since nothing comes to it."""
    workflow = worker.done(submit("branches", {"output": {"way": "none"}}))
    assert (workflow.status, workflow.result) == ("succeeded", {"choose": {"way": "none"}})
    assert statuses(workflow)["join"] == "omitted"


def test_a_condition_is_asked_for_each_element(submit: Submit, worker: OneThread) -> None:
    """Those for which it does not hold have no output."""
    workflow = worker.done(submit("some_elements", {"items": [1, 2, 3]}))
    assert workflow.result == {"each": [None, 4, 6]}


def test_a_loop_goes_round_until_its_condition_holds(submit: Submit, worker: OneThread) -> None:
    """Each iteration is a step, which knows the output before; the last one is the output."""
    workflow = worker.done(submit("loop"))
    assert statuses(workflow) == {f"round[{number}]": "succeeded" for number in range(3)}
    assert (workflow.result, workflow.degradations) == ({"count": 3, "iteration": 2}, [])


def test_a_loop_that_comes_to_its_bound_says_so(submit: Submit, worker: OneThread) -> None:
    """It goes on with what it has."""
    workflow = worker.done(submit("short_loop"))
    assert workflow.result == {"count": 2, "iteration": 1}
    (note,) = workflow.degradations
    assert (note["code"], note["step"]) == ("loop_bound_reached", "round[1]")


@pytest.mark.parametrize("continues", [True, False])
def test_steps_that_an_agent_adds_run_before_what_waits_for_it(submit: Submit, continues: bool) -> None:
    """And hand their outputs to it; whichever worker comes upon them."""
    workflow = OneThread(continues=continues).done(submit("adding", {"add": 2}))
    assert workflow.status == "succeeded", workflow.error
    assert workflow.result == {
        "plan": {"added": 2},
        "added_0": {"key": "added_0", "needs": ["plan"]},
        "added_1": {"key": "added_1", "needs": ["plan"]},
    }
    assert list(statuses(workflow)) == ["plan", "sum", "added_0", "added_1"]


@pytest.mark.parametrize("wrong", [{"add": 6}, {"add": 1, "agent": "fail"}])
def test_an_agent_adds_no_more_than_its_definition_allows(
    submit: Submit, worker: OneThread, wrong: dict[str, object]
) -> None:
    """Neither more steps nor other agents; the message says where it stands."""
    workflow = worker.done(submit("adding", wrong))
    assert (workflow.status, workflow.error["code"]) == ("failed", "added_steps_refused")
    assert "of the definition" in workflow.error["message"]
    assert list(statuses(workflow)) == ["plan", "sum"]


def test_a_bounded_fan_out_has_no_more_elements_under_way_than_it_may(submit: Submit) -> None:
    """The others are blocked, and start in order; all of them run."""
    workflow = submit("bounded", {"items": list(range(11))})
    worker = OneThread(continues=False)
    assert list(statuses(workflow).values()).count("ready") == 3
    worker.done(workflow)
    assert workflow.result == {"each": [2 * number for number in range(11)]}
    assert worker.most_active == 3


def test_an_empty_fan_out_that_is_bounded_ends_at_once(submit: Submit, worker: OneThread) -> None:
    """As an unbounded one does."""
    assert worker.done(submit("bounded", {"items": []})).result == {"each": []}


@pytest.mark.parametrize(("failing", "status"), [(2, "partial"), (3, "failed")])
def test_a_fan_out_may_lack_some_elements_but_not_too_many(
    submit: Submit, worker: OneThread, failing: int, status: str
) -> None:
    """What is there is gathered, and what is missing said."""
    items = [{"n": number, "fails": number < failing} for number in range(4)]
    workflow = worker.done(submit("mostly", {"items": items}))
    assert workflow.status == status
    if status == "partial":
        assert workflow.result["each"] == [None, None, *items[2:]]
    else:
        assert workflow.error["code"] == "too_few_succeeded"
        assert workflow.error["message"] == "1 of 4 elements succeeded; at least 50 % have to."


def test_a_step_that_is_to_be_retried_does_not_give_up(submit: Submit, worker: OneThread) -> None:
    """Not after `max_attempts` either; until the deadline."""
    workflow = submit("patient_failure")
    for _ in range(3):
        worker.work()
        later(600)
        wake_due()
    assert worker.done(workflow).result == {"attempt": 4}


def test_a_bounded_fan_out_begins_with_as_many_elements_as_may_be_under_way(
    submit: Submit, hand: Hand
) -> None:
    """With the first ones, whichever element of the one before it ended last."""
    workflow = submit("bounded_twice", {"items": list(range(7))})
    claimed = []
    for number in range(7):
        claimed.append(hand.claim_next())
        if number not in (4, 5):  # one of these ends last
            hand.finish(claimed.pop(), 0)
    first, last = claimed
    hand.finish(first, 0)
    told = hand.finish(last, 0)
    assert told.outcome == "conflict"  # it has to be decided anew: it is the last one
    assert told.state is not None
    hand.finish(replace(last, revision=told.revision, state=told.state), 0)
    again = workflow.steps.filter(node="again").order_by("index").values_list("status", flat=True)
    assert list(again) == ["ready"] * 3 + ["blocked"] * 4
