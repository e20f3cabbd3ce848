"""Requeues of elements of fan-outs that run a few at a time, on a real database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F

from apps.workflows.letters import DeadLetter
from apps.workflows.models import Step, Workflow
from apps.workflows.replays import workflow_replay
from apps.workflows.services import workflow_pause, workflow_resume
from tests.integration.conftest import Hand
from tests.integration.workflows.letters import PERMANENT, Submit, fresh, requeue
from tests.integration.workflows.worker import OneThread

BOUND = 2


@pytest.fixture
def one_by_one(hand: Hand) -> OneThread:
    """A worker that goes back to admission after every step, so that what is under way can be counted."""
    return OneThread(continues=False)


def given_up(workflow: Workflow, hand: Hand, succeeded: int = 0) -> Workflow:
    """All elements but the first few have given up, and the run has ended."""
    while hints := hand.admit(1):
        step = hand.store.claim(*hints[0])
        assert step is not None
        does_succeed = step.node != "each" or step.index < succeeded
        hand.finish(step, 2 * (step.item or 0) if does_succeed else None, None if does_succeed else PERMANENT)
    return fresh(workflow)


def elements(workflow: Workflow) -> list[str]:
    """Their statuses, in order."""
    return list(workflow.steps.filter(node="each").order_by("index").values_list("status", flat=True))


def test_no_more_elements_start_than_may_be_under_way(
    submit: Submit, hand: Hand, one_by_one: OneThread
) -> None:
    """Of those that are requeued each runs once, in order, and the run ends whole."""
    workflow = given_up(submit("bounded_skipping", {"items": list(range(7))}), hand, succeeded=1)
    assert workflow.error["code"] == "too_few_succeeded"
    assert requeue().requeued == 6
    assert elements(workflow) == ["succeeded", "ready", "ready", "blocked", "blocked", "blocked", "blocked"]
    ended = one_by_one.done(workflow)
    assert (ended.status, ended.result) == ("succeeded", {"each": [2 * number for number in range(7)]})
    assert one_by_one.most_active == BOUND
    attempts = Step.objects.filter(node="each").order_by("index").values_list("attempt", flat=True)
    assert list(attempts) == [1, *[2] * 6]


@pytest.mark.parametrize(("succeeded", "status"), [(3, "partial"), (1, "failed")])
def test_elements_that_give_up_again_end_the_run_as_they_did_before(
    submit: Submit, hand: Hand, one_by_one: OneThread, succeeded: int, status: str
) -> None:
    """In part or with too few of them; and they can be requeued once more."""
    workflow = given_up(submit("bounded_skipping", {"items": [0, 1, 2, 3, 4]}), hand, succeeded=1)
    requeue()
    again = given_up(workflow, hand, succeeded=succeeded)
    assert (again.status, elements(again).count("skipped")) == (status, 5 - succeeded)
    assert DeadLetter.objects.filter(status="open").count() == 5 - succeeded
    assert requeue().requeued == 5 - succeeded
    assert one_by_one.done(workflow).status == "succeeded"


def test_elements_that_were_cancelled_with_a_dead_one_share_the_places_with_it(
    submit: Submit, hand: Hand
) -> None:
    """The one that is requeued is one among them."""
    workflow = submit("bounded", {"items": list(range(6))})
    hand.finish(hand.claim_next(), 0)
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    assert elements(workflow) == ["succeeded", "dead", "cancelled", "cancelled", "cancelled", "cancelled"]
    requeue()
    assert elements(workflow) == ["succeeded", "ready", "ready", "ready", "blocked", "blocked"]
    one_by_one = OneThread(continues=False)
    assert one_by_one.done(workflow).result == {"each": [2 * number for number in range(6)]}
    assert one_by_one.most_active == 3


def test_an_element_that_ends_at_the_same_time_makes_room_all_the_same(submit: Submit, hand: Hand) -> None:
    """Its end was decided on before the requeue, when nobody waited for its place."""
    workflow = submit("bounded_skipping", {"items": [0, 1, 2]})
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    under_way = [hand.claim_next(), hand.claim_next()]
    assert requeue().requeued == 1
    assert elements(workflow) == ["blocked", "running", "running"]
    for step in under_way:
        assert hand.finish(step, 2 * step.item).outcome == "finished"
    assert elements(workflow) == ["ready", "succeeded", "succeeded"]
    assert OneThread().done(workflow).result == {"each": [0, 2, 4]}


def test_a_rate_holds_as_well_as_the_bound(submit: Submit, hand: Hand) -> None:
    """Whoever gets a place before its time waits for that in it."""
    workflow = given_up(submit("bounded_skipping", {"items": [0, 1, 2, 3]}), hand)
    requeue(rate_per_minute=1)
    assert elements(workflow) == ["ready", "waiting", "blocked", "blocked"]
    first = hand.claim_next()
    hand.finish(first, 0)
    assert elements(workflow) == ["succeeded", "waiting", "waiting", "blocked"]
    times = Step.objects.filter(node="each", run_at__isnull=False).order_by("index")
    gaps = [(row.run_at - times[0].run_at).total_seconds() for row in times]
    assert gaps == pytest.approx([0, 60, 120], abs=1)
    worker = OneThread(continues=False)
    for _ in range(3):
        Step.objects.filter(run_at__isnull=False).update(run_at=F("run_at") - timedelta(seconds=61))
        worker.work()
    assert fresh(workflow).result == {"each": [0, 2, 4, 6]}
    assert worker.most_active == 1


def test_in_a_paused_run_they_wait_for_it_to_go_on(submit: Submit, hand: Hand, one_by_one: OneThread) -> None:
    """And then for room."""
    workflow = submit("bounded_skipping", {"items": [0, 1, 2, 3, 4]})
    for _ in range(4):
        hand.finish(hand.claim_next(), outcome=PERMANENT)
    workflow_pause(workflow.pk)
    requeue()
    assert elements(workflow) == ["waiting", "blocked", "blocked", "blocked", "waiting"]
    assert hand.admit() == []
    workflow_resume(workflow.pk)
    assert one_by_one.done(workflow).result == {"each": [0, 2, 4, 6, 8]}
    assert one_by_one.most_active == BOUND


@pytest.mark.parametrize("from_step", [None, "each"])
def test_a_run_made_anew_keeps_to_the_bound(
    submit: Submit, hand: Hand, one_by_one: OneThread, from_step: str | None
) -> None:
    """As a replay, and as a fork over another list."""
    workflow = given_up(submit("bounded_skipping", {"items": [0, 1, 2]}), hand)
    replay = Workflow.objects.get(pk=workflow_replay(workflow, from_step=from_step).id)
    assert one_by_one.done(replay).result == {"each": [0, 2, 4]}
    fork = workflow_replay(workflow, from_step=from_step, workflow_input={"items": [1, 1, 1, 1, 1]})
    assert one_by_one.done(Workflow.objects.get(pk=fork.id)).result == {"each": [2, 2, 2, 2, 2]}
    assert one_by_one.most_active == BOUND
