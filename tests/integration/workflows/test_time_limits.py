"""Time limits on a real database: of a step whose agent does not come back, and of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agentplatform.execution.attempts import Outcome
from agentplatform.execution.retry import Failure
from apps.workflows.dispatching import end_overdue_workflows
from apps.workflows.letters import DeadLetter
from apps.workflows.models import Step, StepAttempt, Workflow
from tests.integration.conftest import Hand, recover

Submit = Callable[..., Workflow]


def pass_time_limit(node: str) -> None:
    """Makes it a minute past the step's deadline; its worker goes on renewing the lease."""
    Step.objects.filter(node=node).update(deadline_at="2020-01-01T00:00:00Z")


def test_a_step_past_its_time_is_taken_from_a_worker_that_lives(submit: Submit, hand: Hand) -> None:
    """It is tried again, and what the first attempt brings later is refused."""
    workflow = submit("one_noop")
    step = hand.claim_next()
    pass_time_limit("step_0")
    assert recover() == 1
    attempt = StepAttempt.objects.get()
    assert (attempt.outcome, attempt.error_code) == ("timed_out", "step_timeout")
    assert hand.finish(step, {"late": True}).outcome == "stale"
    Step.objects.filter(status="waiting").update(status="ready", waiting_for=None)
    hand.finish(hand.claim_next(), {"in time": True})
    workflow.refresh_from_db()
    assert workflow.result == {"in time": True}


def test_a_step_that_is_too_slow_every_time_is_skipped_where_it_may_be(submit: Submit, hand: Hand) -> None:
    """After its attempts, as its definition says; it did not kill its workers."""
    workflow = submit("skips")
    for _ in range(3):
        Step.objects.filter(status="waiting").update(status="ready", waiting_for=None)
        hand.claim_next()
        pass_time_limit("broken")
        recover()
    letter = DeadLetter.objects.get()
    assert (letter.reason, letter.error_code, letter.attempt) == ("exhausted", "step_timeout", 3)
    hand.finish(hand.claim_next(), {"done": True})
    workflow.refresh_from_db()
    assert workflow.status == "partial"
    assert "time limit" in workflow.degradations[0]["message"]


def test_a_deadline_leaves_what_there_is_and_names_what_is_missing(submit: Submit, hand: Hand) -> None:
    """Of a chain of ten, the output of the first."""
    workflow = submit("ten_noops")
    hand.finish(hand.claim_next(), {"n": 0})
    running = hand.claim_next()
    Workflow.objects.update(deadline_at=workflow.created_at)
    assert end_overdue_workflows() == 1
    workflow.refresh_from_db()
    assert (workflow.status, workflow.result) == ("partial", {"step_0": {"n": 0}})
    assert [note["step"] for note in workflow.degradations] == [f"step_{number}" for number in range(1, 10)]
    assert {note["code"] for note in workflow.degradations} == {"step_missing"}
    assert hand.finish(running, {"n": 1}).outcome == "stale"
    assert not DeadLetter.objects.exists()


def test_a_call_that_the_deadline_broke_off_ends_the_run_as_at_its_deadline(
    submit: Submit, hand: Hand
) -> None:
    """Its worker is the first to know; the step is not dead for it."""
    workflow = submit("ten_noops")
    hand.finish(hand.claim_next(), {"n": 0})
    step = hand.claim_next()
    failure = Failure("deadline_exceeded", "The call was broken off.", transient=True)
    hand.finish(replace(step, workflow_seconds_left=-0.01), outcome=Outcome(failure=failure))
    workflow.refresh_from_db()
    assert (workflow.status, workflow.error["code"]) == ("partial", "deadline_exceeded")
    assert Step.objects.get(node="step_1").status == "cancelled"
    assert not DeadLetter.objects.exists()
