"""Requeues on a real database: from where the step gave up, once, with what was paid for kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from apps.tenants.services import tenant_create
from apps.workflows.dead_letters import (
    SeveralTenants,
)
from apps.workflows.letters import DeadLetter, OperatorAction
from apps.workflows.models import Event, Step, Workflow
from apps.workflows.services import workflow_cancel
from apps.workflows.submissions import InvalidSubmission
from tests.integration.admin.conftest import settle_call
from tests.integration.conftest import Hand, expire, recover
from tests.integration.workflows.letters import PERMANENT, Submit, fresh, requeue, statuses


def test_a_requeue_goes_on_from_the_step(submit: Submit, hand: Hand) -> None:
    """Earlier outputs and costs stay; the run has a new deadline; its stream says so."""
    workflow = submit("three_asks")
    first = hand.claim_next()
    settle_call(first, 1_000)
    hand.finish(first, {"kept": True})
    second = hand.claim_next()
    settle_call(second, 2_000)
    hand.finish(second, outcome=PERMANENT)
    before = fresh(workflow)
    assert (before.status, before.cost_usd_micros) == ("failed", 3_000)
    report = requeue()
    assert (report.matched, report.requeued, report.refused) == (1, 1, [])
    after = fresh(workflow)
    assert (after.status, after.finished_at, after.error, after.result) == ("running", None, None, None)
    assert after.deadline_at > before.deadline_at
    assert statuses(workflow) == {"step_0": "succeeded", "step_1": "ready", "step_2": "blocked"}
    again = hand.claim_next()
    assert (again.step_id, again.attempt, again.needs) == (second.step_id, 2, {"step_0": {"kept": True}})
    assert len(again.journal) == 1  # what it has paid for is replayed
    reply = hand.finish(again, {"n": 1}, may_continue=True)
    assert reply.next_step is not None
    hand.finish(reply.next_step, {"n": 2})
    ended = fresh(workflow)
    assert (ended.status, ended.result, ended.cost_usd_micros) == ("succeeded", {"n": 2}, 3_000)
    told = Event.objects.filter(workflow=workflow, kind="workflow.status").order_by("id")
    assert [event.data for event in told] == [
        {"status": "failed"},
        {"status": "running", "requeued": ["step_1"]},
        {"status": "succeeded"},
    ]


def test_a_requeued_step_has_its_attempts_again(submit: Submit, hand: Hand) -> None:
    """Failures and lost workers of before count no more; when it gives up again, that is another letter."""
    submit("one_noop")
    for _ in range(3):
        expire(hand.claim_next())
        recover()
    requeue()
    for attempt in (4, 5, 6):
        step = hand.claim_next()
        assert (step.attempt, step.attempts_before, step.lost_workers) == (attempt, 3, attempt - 4)
        expire(step)
        recover()
    letters = DeadLetter.objects.order_by("pk")
    assert [(letter.attempt, letter.status) for letter in letters] == [(3, "requeued"), (6, "open")]


def test_requeueing_twice_is_one_requeue(submit: Submit, hand: Hand) -> None:
    """The second finds no open letter."""
    submit("one_noop")
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    assert requeue().requeued == 1
    second = requeue()
    assert (second.matched, second.requeued) == (0, 0)
    assert Step.objects.get().attempts_before == 1


def test_two_requeues_at_once_are_one_requeue(submit: Submit, hand: Hand) -> None:
    """Of sixteen letters by four operators at the same moment, each is requeued by one."""
    for _ in range(16):
        submit("one_noop")
        hand.finish(hand.claim_next(), outcome=PERMANENT)

    def one(_: int) -> int:
        try:
            return requeue().requeued
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        counts = list(threads.map(one, range(4)))
    assert sum(counts) == 16
    assert Event.objects.filter(data__status="running", kind="workflow.status").count() == 16


def test_what_was_made_without_a_skipped_step_is_made_again(submit: Submit, hand: Hand) -> None:
    """A partial result becomes a whole one, without its note."""
    workflow = submit("skips")
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    last = hand.claim_next()
    assert last.needs == {"broken": None}
    hand.finish(last, {"done": "without"})
    requeue()
    assert statuses(workflow) == {"broken": "ready", "last": "blocked"}
    assert fresh(workflow).degradations == []
    reply = hand.finish(hand.claim_next(), {"attempt": 2}, may_continue=True)
    assert reply.next_step is not None
    assert (reply.next_step.needs, reply.next_step.attempt) == ({"broken": {"attempt": 2}}, 2)
    hand.finish(reply.next_step, {"done": "with"})
    ended = fresh(workflow)
    assert (ended.status, ended.result, ended.degradations) == ("succeeded", {"done": "with"}, [])


def test_an_element_of_a_fan_out_is_requeued_alone(submit: Submit, hand: Hand) -> None:
    """Those beside it that had succeeded are kept, those that were cancelled go on."""
    workflow = submit("fan_out", {"count": 3})
    hand.finish(hand.claim_next(), {"items": [1, 2, 3]})
    done = hand.claim_next()
    hand.finish(done, 2 * done.item)
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    assert DeadLetter.objects.get().key == "double[1]"
    assert sorted(statuses(workflow).values()) == ["cancelled", "cancelled", "dead", "succeeded", "succeeded"]
    requeue()
    assert sorted(statuses(workflow).values()) == ["blocked", "ready", "ready", "succeeded", "succeeded"]
    for _ in range(2):
        step = hand.claim_next()
        hand.finish(step, 2 * step.item)
    assert hand.claim_next().needs == {"double": [2, 4, 6]}


def test_a_fan_out_whose_list_is_made_anew_has_new_steps(submit: Submit, hand: Hand) -> None:
    """Those of the old list are gone, with their notes; their letters are settled with the requeue."""
    workflow = submit("seeded_fan_out")
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    hand.finish(hand.claim_next(), {"items": [1, 2]})
    old = hand.claim_next()
    hand.finish(old, 2)
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    hand.finish(hand.claim_next(), {"double": [2, None]})
    before = fresh(workflow)
    assert (before.status, [note["step"] for note in before.degradations]) == (
        "partial",
        ["seed", "double[1]"],
    )
    report = requeue(DeadLetter.objects.filter(key="seed"))
    assert (report.requeued, report.refused) == (1, [])
    assert statuses(workflow) == {"seed": "ready", "list": "blocked", "gather": "blocked"}
    assert (fresh(workflow).degradations, fresh(workflow).fan_out) == ([], {})
    assert set(DeadLetter.objects.values_list("status", flat=True)) == {"requeued"}
    hand.finish(hand.claim_next(), {"seeded": True})
    hand.finish(hand.claim_next(), {"items": [1, 2, 3]})
    for number in range(3):
        step = hand.claim_next()
        assert (step.item, step.attempt) == (number + 1, 1)
        assert step.step_id != old.step_id
        hand.finish(step, 2 * step.item)
    last = hand.claim_next()
    assert last.needs == {"double": [2, 4, 6]}
    hand.finish(last, {"double": [2, 4, 6]})
    assert fresh(workflow).status == "succeeded"


def test_elements_are_requeued_one_after_the_other(submit: Submit, hand: Hand) -> None:
    """The second while the workflow runs again, since nothing has begun that depends on it."""
    workflow = submit("seeded_fan_out")
    hand.finish(hand.claim_next(), {})
    hand.finish(hand.claim_next(), {"items": [1, 2]})
    for _ in range(2):
        hand.finish(hand.claim_next(), outcome=PERMANENT)
    hand.finish(hand.claim_next(), {"double": [None, None]})
    first, second = DeadLetter.objects.order_by("key")
    assert requeue(DeadLetter.objects.filter(pk=first.pk)).requeued == 1
    assert statuses(workflow)["double[1]"] == "skipped"
    assert requeue(DeadLetter.objects.filter(pk=second.pk)).requeued == 1
    for _ in range(2):
        step = hand.claim_next()
        hand.finish(step, 2 * step.item)
    assert hand.claim_next().needs == {"double": [2, 4]}
    third = submit("seeded_fan_out")
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    report = requeue(DeadLetter.objects.filter(workflow=third))
    assert report.requeued == 0
    assert "gone on with step 'list'" in report.refused[0].detail


def test_a_dry_run_changes_nothing(submit: Submit, hand: Hand) -> None:
    """It says what would be done."""
    workflow = submit("one_noop")
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    report = requeue(dry_run=True, rate_per_minute=6)
    assert (report.matched, report.requeued, report.operation_id) == (1, 1, None)
    assert fresh(workflow).status == "failed"
    assert not OperatorAction.objects.exists()


def test_a_rate_spreads_the_starts_in_the_database(submit: Submit, hand: Hand) -> None:
    """Twelve a minute: one every five seconds; deadlines count from the last."""
    for _ in range(3):
        submit("one_noop")
        hand.finish(hand.claim_next(), outcome=PERMANENT)
    report = requeue(rate_per_minute=12, deadline_seconds=60)
    assert report.last_starts_in_seconds == 10.0
    rows = list(Step.objects.order_by("pk").values_list("status", "waiting_for", "run_at"))
    assert [row[:2] for row in rows] == [("ready", None), ("waiting", "timer"), ("waiting", "timer")]
    gap = (rows[2][2] - rows[1][2]).total_seconds()
    assert gap == pytest.approx(5, abs=2)
    left = [
        (workflow.deadline_at - timezone.now()).total_seconds()
        for workflow in Workflow.objects.order_by("pk")
    ]
    assert left == pytest.approx([60, 65, 70], abs=5)


def test_a_cancelled_workflow_is_not_reopened(submit: Submit, hand: Hand) -> None:
    """The letter of its skipped step stays, and the answer says why."""
    workflow = submit("skips")
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    workflow_cancel(workflow.pk)
    report = requeue()
    assert (report.requeued, len(report.refused)) == (0, 1)
    assert "cancelled" in report.refused[0].detail
    assert (fresh(workflow).status, DeadLetter.objects.get().status) == ("cancelled", "open")


def test_an_edited_input_is_told_as_its_changes(submit: Submit, hand: Hand) -> None:
    """In the dry run, and in the record; the step then sees it."""
    workflow = submit("one_echo", {"output": "wrong", "same": [1]})
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    change = {"change": "replaced", "pointer": "/output", "before": "wrong", "after": "right"}
    edited = {"output": "right", "same": [1]}
    assert requeue(dry_run=True, input=edited).input_changes == {str(workflow.pk): [change]}
    requeue(input=edited)
    action = OperatorAction.objects.get()
    assert action.details["input_changes"] == {str(workflow.pk): [change]}
    assert (action.affected, action.name) == (1, "dead_letters.requeue")
    assert hand.claim_next().input == edited


def test_an_edited_input_that_cannot_be_run_changes_nothing(submit: Submit, hand: Hand) -> None:
    """The definition must take it, lists keep their length, and it stays with one tenant."""
    submit("each", {"items": [1, 2]})
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    with pytest.raises(InvalidSubmission, match="run over 2 elements"):
        requeue(input={"items": [1, 2, 3]})
    other = tenant_create(name="globex", tier="standard")
    submit("one_noop", tenant=other)
    Step.objects.filter(status="ready", tenant=other).exists()
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    with pytest.raises(SeveralTenants):
        requeue(input={"items": [1, 2]})
    assert set(DeadLetter.objects.values_list("status", flat=True)) == {"open"}
    assert not OperatorAction.objects.exists()
