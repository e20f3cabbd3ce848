"""Dead letters on a real database: written with the end of their step, counted once, discarded for good."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Max, Min
from django.utils import timezone

from apps.tenants.models import Tenant
from apps.workflows.dead_letters import (
    dead_letters_discard,
    dead_letters_file,
    dead_letters_sweep,
)
from apps.workflows.letters import DeadLetter, DeadLetterGroup
from apps.workflows.models import Step, StepAttempt
from apps.workflows.operations import Actor
from tests.integration.conftest import Hand, expire, recover
from tests.integration.workflows.letters import PASSING, PERMANENT, Submit, fresh, requeue


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
