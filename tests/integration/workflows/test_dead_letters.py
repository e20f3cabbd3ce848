"""Dead letters on a real database: written with the end of their step, counted once, requeued once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Max, Min
from django.utils import timezone

from agentplatform.execution.executor import ClaimedStep, Outcome
from agentplatform.execution.retry import Failure
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from apps.workflows.dead_letters import (
    RequeueOptions,
    RequeueReport,
    SeveralTenants,
    dead_letters_discard,
    dead_letters_file,
    dead_letters_requeue,
    dead_letters_sweep,
)
from apps.workflows.letters import DeadLetter, DeadLetterGroup, OperatorAction
from apps.workflows.models import Event, Step, StepAttempt, Workflow
from apps.workflows.operations import Actor
from apps.workflows.services import workflow_cancel
from apps.workflows.submissions import InvalidSubmission
from tests.integration.admin.conftest import settle_call
from tests.integration.conftest import Hand, recover

Submit = Callable[..., Workflow]
PERMANENT = Outcome(failure=Failure("bad", "It is bad.", transient=False, error_class="builtins.ValueError"))
PASSING = Outcome(failure=Failure("busy", "It is busy.", transient=True))


def expire(step: ClaimedStep) -> None:
    """Makes a lease look as if it had not been renewed."""
    Step.objects.filter(pk=step.step_id).update(lease_expires_at="2020-01-01T00:00:00Z")


def requeue(chosen: Any = None, *, dry_run: bool = False, **options: Any) -> RequeueReport:
    """Requeues letters, by default all."""
    letters = chosen if chosen is not None else DeadLetter.objects.all()
    return dead_letters_requeue(Actor(), letters, RequeueOptions(**options), asked={}, dry_run=dry_run)


def statuses(workflow: Workflow) -> dict[str, str]:
    """Its steps by key."""
    return {step.key: step.status for step in workflow.steps.order_by("position", "index")}


def fresh(workflow: Workflow) -> Workflow:
    """As it is now."""
    return Workflow.objects.get(pk=workflow.pk)


def test_a_permanent_failure_leaves_a_letter(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """With all that is to be known of it, and no copy of its payload."""
    workflow = submit("ten_noops", {"secret": "payload"})
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    letter = DeadLetter.objects.get()
    assert (letter.tenant_id, letter.workflow_id, letter.attempt) == (tenant.pk, workflow.pk, 1)
    assert (letter.type, letter.key, letter.agent, letter.queue) == (
        "ten_noops",
        "step_0",
        "noop",
        "standard",
    )
    assert (letter.reason, letter.error_code, letter.error_class) == (
        "permanent",
        "bad",
        "builtins.ValueError",
    )
    assert (letter.status, len(letter.fingerprint)) == ("open", 32)
    assert "payload" not in str(DeadLetter.objects.values().get())
    assert fresh(workflow).status == "failed"


def test_attempts_that_are_used_up_leave_a_letter(submit: Submit, hand: Hand) -> None:
    """One letter for three attempts, all of which are kept."""
    submit("one_noop")
    for attempt in (1, 2, 3):
        Step.objects.filter(status="waiting").update(status="ready", waiting_for=None)
        step = hand.claim_next()
        assert step.attempt == attempt
        hand.finish(step, outcome=PASSING)
    letter = DeadLetter.objects.get()
    assert (letter.reason, letter.attempt) == ("exhausted", 3)
    assert StepAttempt.objects.filter(outcome="failed").count() == 3


def test_a_step_that_loses_three_workers_is_poison(submit: Submit, tenant: Tenant) -> None:
    """Whatever its queue says of failures: interactive steps may fail twice, and lose three workers."""
    hand = Hand(queue="interactive")
    submit("one_noop", queue="interactive")
    for _ in range(3):
        assert not DeadLetter.objects.exists()
        expire(hand.claim_next())
        assert recover() == 1
    assert (DeadLetter.objects.get().reason, DeadLetter.objects.get().error_code) == ("poison", "worker_lost")
    assert list(StepAttempt.objects.values_list("outcome", flat=True)) == ["lost"] * 3


def test_lost_workers_are_not_counted_as_failures(submit: Submit, hand: Hand) -> None:
    """Two kills and two failures: neither limit is reached."""
    submit("one_noop")
    for _ in range(2):
        expire(hand.claim_next())
        recover()
        hand.finish(hand.claim_next(), outcome=PASSING)
        Step.objects.filter(status="waiting").update(status="ready", waiting_for=None)
    assert not DeadLetter.objects.exists()
    hand.finish(hand.claim_next(), outcome=PASSING)
    assert DeadLetter.objects.get().reason == "exhausted"


def test_a_skipped_step_leaves_a_letter_and_the_workflow_goes_on(submit: Submit, hand: Hand) -> None:
    """It gave up all the same."""
    workflow = submit("skips")
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    assert DeadLetter.objects.get().key == "broken"
    hand.finish(hand.claim_next(), {"done": True})
    ended = fresh(workflow)
    assert (ended.status, ended.degradations[0]["step"]) == ("partial", "broken")


def test_a_worker_that_lost_its_lease_leaves_no_letter(submit: Submit, hand: Hand) -> None:
    """The letter is fenced like the end of its step."""
    submit("one_noop")
    stale = hand.claim_next()
    expire(stale)
    recover()
    assert hand.finish(stale, outcome=PERMANENT).outcome == "stale"
    assert not DeadLetter.objects.exists()


def test_a_letter_is_counted_once(submit: Submit, hand: Hand) -> None:
    """However often its message comes; operators are told of a group when it is new."""
    for _ in range(3):
        submit("one_noop")
        hand.finish(hand.claim_next(), outcome=PERMANENT)
    ids = list(DeadLetter.objects.values_list("pk", flat=True))
    assert dead_letters_file(ids[:1]) == 1
    assert dead_letters_file(ids) == 0
    assert dead_letters_file(ids) == 0
    group = DeadLetterGroup.objects.get()
    assert (group.letters, group.agent, group.error_code) == (3, "noop", "bad")
    seen = DeadLetter.objects.aggregate(first=Min("created_at"), last=Max("created_at"))
    assert (group.first_seen_at, group.last_seen_at) == (seen["first"], seen["last"])
    DeadLetterGroup.objects.update(notified_at=timezone.now() - timedelta(hours=2))
    submit("one_noop")
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    assert dead_letters_file(list(DeadLetter.objects.values_list("pk", flat=True))) == 1


def test_a_letter_whose_message_was_lost_is_found(submit: Submit, hand: Hand) -> None:
    """But not before the message has had its time."""
    submit("one_noop")
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    assert dead_letters_sweep() == 0
    DeadLetter.objects.update(created_at=timezone.now() - timedelta(seconds=11))
    assert dead_letters_sweep() == 1
    assert dead_letters_sweep() == 0
    assert DeadLetterGroup.objects.get().letters == 1


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


def test_a_discarded_letter_is_closed_for_good(submit: Submit, hand: Hand) -> None:
    """With its reason and its record; it is not requeued any more."""
    workflow = submit("one_noop")
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    action = dead_letters_discard(
        Actor(), DeadLetter.objects.all(), reason="Not worth it.", asked={"ids": []}
    )
    letter = DeadLetter.objects.get()
    assert (letter.status, letter.resolution, letter.operation_id) == (
        "discarded",
        "Not worth it.",
        action.pk,
    )
    assert (action.affected, action.details["letters"]) == (1, [str(letter.pk)])
    assert requeue().matched == 0
    assert fresh(workflow).status == "failed"
