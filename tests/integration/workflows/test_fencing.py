"""Claims and finishes against a real database: who may write what, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from django.db.models.functions import Now

from agentplatform.execution.attempts import Outcome, Wait
from agentplatform.execution.retry import Failure
from agentplatform.workflows.statuses import WaitingFor
from apps.workflows.dispatching import wake_due
from apps.workflows.models import Step, StepAttempt, Workflow
from apps.workflows.services import workflow_cancel
from tests.integration.conftest import Hand, expire, recover

Submit = Callable[..., Workflow]


def test_a_doubled_hint_is_claimed_once(submit: Submit, hand: Hand) -> None:
    """The second of two equal hints finds nothing to claim."""
    submit("one_noop")
    (hint,) = hand.admit()
    assert hand.store.claim(*hint) is not None
    assert hand.store.claim(*hint) is None


def test_a_finish_is_stored_once(submit: Submit, hand: Hand) -> None:
    """A finish that is repeated, as after a lost answer, is told so and changes nothing."""
    workflow = submit("one_noop")
    step = hand.claim_next()
    assert hand.finish(step, {"n": 1}).outcome == "finished"
    assert hand.finish(step, {"n": 2}).outcome == "already"
    workflow.refresh_from_db()
    assert workflow.status == "succeeded"
    assert workflow.result == {"n": 1}
    assert not StepAttempt.objects.exists()


def test_a_worker_that_lost_its_lease_changes_nothing(submit: Submit, hand: Hand) -> None:
    """Its step was taken away and runs again elsewhere: its late result is refused, the later one stands."""
    workflow = submit("one_noop")
    stale = hand.claim_next()
    expire(stale)
    assert recover() == 1
    fresh = hand.claim_next()
    assert (fresh.step_id, fresh.attempt) == (stale.step_id, 2)
    assert hand.finish(stale, {"by": "stale"}).outcome == "stale"
    assert Step.objects.get().output is None
    assert hand.finish(fresh, {"by": "fresh"}).outcome == "finished"
    workflow.refresh_from_db()
    assert workflow.result == {"by": "fresh"}
    assert list(StepAttempt.objects.values_list("attempt", "outcome")) == [(1, "lost")]


def test_a_lease_that_was_renewed_in_time_is_not_taken_away(submit: Submit, hand: Hand) -> None:
    """Recovery looks again under the lock."""
    submit("one_noop")
    step = hand.claim_next()
    assert recover() == 0
    assert hand.finish(step, {}).outcome == "finished"


def test_a_step_that_kills_every_worker_ends_as_dead(submit: Submit, hand: Hand) -> None:
    """A poison step is given up after its attempts, and its workflow ends as failed."""
    workflow = submit("one_noop")
    for _ in range(3):
        expire(hand.claim_next())
        recover()
    workflow.refresh_from_db()
    assert workflow.status == "failed"
    assert workflow.error["code"] == "worker_lost"
    assert Step.objects.get().status == "dead"
    assert hand.admit() == []


def test_a_finish_after_a_cancel_is_stale(submit: Submit, hand: Hand) -> None:
    """Cancel ends the run at once; what the worker brings later is refused."""
    workflow = submit("ten_noops")
    step = hand.claim_next()
    workflow_cancel(workflow.pk)
    assert hand.finish(step, {}).outcome == "stale"
    workflow.refresh_from_db()
    assert workflow.status == "cancelled"
    assert set(Step.objects.values_list("status", flat=True)) == {"cancelled"}


def test_two_parallel_finishes_lose_nothing(submit: Submit, hand: Hand) -> None:
    """The later of two decisions made on one revision is made again on the newer one."""
    workflow = submit("fan_out", {"count": 2})
    hand.finish(hand.claim_next(), {"items": [3, 4]})
    first, second = hand.claim_next(), hand.claim_next()
    assert {first.item, second.item} == {3, 4}
    assert hand.finish(first, first.item * 2).outcome == "finished"
    reply = hand.finish(second, second.item * 2)
    assert reply.outcome == "conflict"
    assert reply.state is not None
    again = replace(second, state=reply.state, revision=reply.revision)
    assert hand.finish(again, second.item * 2).outcome == "finished"
    last = hand.claim_next()
    assert last.needs == {"double": [6, 8]}
    hand.finish(last, {"sum": 14})
    workflow.refresh_from_db()
    assert (workflow.status, workflow.result) == ("succeeded", {"sum": 14})


def test_a_fan_out_over_nothing_goes_straight_on(submit: Submit, hand: Hand) -> None:
    """An empty list has no steps, and what comes after it gets an empty list."""
    submit("fan_out", {"count": 0})
    hand.finish(hand.claim_next(), {"items": []})
    last = hand.claim_next()
    assert last.node == "add"
    assert last.needs == {"double": []}


def test_a_failed_step_waits_and_is_tried_again(submit: Submit, hand: Hand) -> None:
    """A transient failure puts the step to wait in the database; no Celery countdown is involved."""
    submit("one_noop")
    step = hand.claim_next()
    failure = Failure("overloaded", "The provider answered 529.", transient=True)
    assert hand.finish(step, outcome=Outcome(failure=failure)).outcome == "finished"
    row = Step.objects.get()
    assert row.status in ("waiting", "ready")
    if row.status == "waiting":
        assert row.waiting_for == "timer"
        assert row.run_at is not None


def test_an_attempt_that_ends_in_a_wait_counts_for_nothing(submit: Submit, hand: Hand) -> None:
    """However often it waits: the step may still fail as often as its policy says."""
    submit("one_noop")
    for attempt in range(1, 6):
        step = hand.claim_next()
        assert step.attempt - step.attempts_before == 1
        assert step.policy.max_attempts == 3
        wait = Wait(WaitingFor.RATE, 60.0, "rate_limited", "It waits.")
        assert hand.finish(step, outcome=Outcome(wait=wait)).outcome == "finished"
        row = Step.objects.get()
        assert (row.status, row.waiting_for, row.attempt) == ("waiting", "rate", attempt)
        Step.objects.update(run_at=Now())
        assert wake_due() == 1
    assert set(StepAttempt.objects.values_list("outcome", "error_code")) == {("waited", "rate_limited")}
    hand.finish(hand.claim_next(), {})
    assert Step.objects.get().status == "succeeded"


def test_a_permanent_failure_ends_the_workflow(submit: Submit, hand: Hand) -> None:
    """It is not tried again, and the workflow's error names the step."""
    workflow = submit("ten_noops")
    failure = Failure("bad_request", "The provider answered 400.", transient=False)
    hand.finish(hand.claim_next(), outcome=Outcome(failure=failure))
    workflow.refresh_from_db()
    assert workflow.status == "failed"
    assert workflow.error == {
        "code": "bad_request",
        "message": "The provider answered 400.",
        "step": "step_0",
    }


def test_an_output_without_its_list_fails_the_step(submit: Submit, hand: Hand) -> None:
    """What a later step fans out over must be there."""
    workflow = submit("fan_out", {"count": 1})
    step = hand.claim_next()
    hand.finish(step, {"no items": True})
    workflow.refresh_from_db()
    assert workflow.status == "failed"
    assert workflow.error["code"] == "output_mismatch"


def test_a_worker_goes_on_with_the_next_step_in_the_same_statement(submit: Submit, hand: Hand) -> None:
    """A chain needs one hint; every further step comes with the finish of the one before."""
    workflow = submit("ten_noops")
    step = hand.claim_next()
    for number in range(9):
        reply = hand.finish(step, {"n": number}, may_continue=True)
        assert reply.next_step is not None
        step = reply.next_step
        assert step.node == f"step_{number + 1}"
        assert step.needs == {f"step_{number}": {"n": number}}
    assert hand.finish(step, {"n": 9}, may_continue=True).ended
    workflow.refresh_from_db()
    assert workflow.status == "succeeded"
