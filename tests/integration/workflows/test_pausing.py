"""Paused runs on a real database: nothing starts, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from agentplatform.execution.attempts import ClaimedStep, Outcome
from agentplatform.execution.retry import Failure
from apps.workflows.dispatching import end_overdue_workflows, wake_due
from apps.workflows.models import Event, Step, Workflow
from apps.workflows.selectors import run_state
from apps.workflows.services import (
    AlreadyFinished,
    NotPaused,
    workflow_cancel,
    workflow_pause,
    workflow_resume,
)
from tests.integration.conftest import Hand

Submit = Callable[..., Workflow]
PASSING = Outcome(failure=Failure("busy", "It is busy.", transient=True, retry_after_seconds=30))


def test_no_step_of_a_paused_run_is_admitted(submit: Submit, hand: Hand) -> None:
    """They wait for it to be resumed, and say so; the second pause changes nothing."""
    workflow = submit("ten_noops")
    assert workflow_pause(workflow.pk)
    assert not workflow_pause(workflow.pk)
    step = Step.objects.get(node="step_0")
    assert (step.status, step.waiting_for) == ("waiting", "resume")
    assert hand.admit() == []
    assert wake_due() == 0
    assert workflow_resume(workflow.pk)
    assert not workflow_resume(workflow.pk)
    assert hand.claim_next().node == "step_0"
    told = Event.objects.filter(workflow=workflow, kind="workflow.status").order_by("id")
    assert [event.data["status"] for event in told] == ["paused", "running"]


def test_a_hint_under_way_finds_nothing_to_claim(submit: Submit, hand: Hand) -> None:
    """A step that was dispatched before the pause waits like the others."""
    workflow = submit("one_noop")
    (hint,) = hand.admit()
    workflow_pause(workflow.pk)
    assert hand.store.claim(*hint) is None
    assert Step.objects.get().waiting_for == "resume"
    workflow_resume(workflow.pk)
    assert hand.claim_next().attempt == 1


def test_a_step_that_admission_took_in_the_same_moment_is_not_claimed(submit: Submit, hand: Hand) -> None:
    """The claim looks at the run, whatever the step's row says."""
    workflow = submit("one_noop")
    (hint,) = hand.admit()
    Workflow.objects.filter(pk=workflow.pk).update(status="paused")
    assert hand.store.claim(*hint) is None
    assert (Step.objects.get().status, hand.admit()) == ("waiting", [])


def test_a_step_that_runs_ends_and_the_next_one_waits(submit: Submit, hand: Hand) -> None:
    """Its outcome is kept; the worker does not go on."""
    workflow = submit("ten_noops")
    step = hand.claim_next()
    workflow_pause(workflow.pk)
    assert hand.finish(step, {"n": 0}).outcome == "conflict"  # decided on what was before the pause
    step = again(step)
    reply = hand.finish(step, {"n": 0}, may_continue=True)
    assert (reply.outcome, reply.next_step) == ("finished", None)
    second = Step.objects.get(node="step_1")
    assert (second.status, second.waiting_for) == ("waiting", "resume")
    workflow_resume(workflow.pk)
    assert hand.claim_next().needs == {"step_0": {"n": 0}}


def test_a_failed_step_of_a_paused_run_is_tried_again_when_it_is_resumed(submit: Submit, hand: Hand) -> None:
    """Its delay may pass meanwhile: it is then not claimed."""
    workflow = submit("one_noop")
    step = hand.claim_next()
    workflow_pause(workflow.pk)
    hand.finish(again(step), outcome=PASSING)
    Step.objects.update(run_at=workflow.created_at)
    assert wake_due() == 1
    (hint,) = hand.admit()
    assert hand.store.claim(*hint) is None
    assert Step.objects.get().waiting_for == "resume"
    workflow_resume(workflow.pk)
    assert hand.claim_next().attempt == 2


def test_the_last_step_ends_a_paused_run(submit: Submit, hand: Hand) -> None:
    """There is nothing left to resume."""
    workflow = submit("one_noop")
    step = hand.claim_next()
    workflow_pause(workflow.pk)
    hand.finish(again(step), {"n": 1})
    workflow.refresh_from_db()
    assert (workflow.status, workflow.result) == ("succeeded", {"n": 1})
    for change in (workflow_pause, workflow_resume, workflow_cancel):
        with pytest.raises(AlreadyFinished):
            change(workflow.pk)


def test_a_paused_run_can_be_cancelled_and_its_deadline_passes(submit: Submit, hand: Hand) -> None:
    """A pause stops no clock."""
    cancelled, late = submit("one_noop"), submit("one_noop")
    for workflow in (cancelled, late):
        workflow_pause(workflow.pk)
    workflow_cancel(cancelled.pk)
    Workflow.objects.filter(pk=late.pk).update(deadline_at=late.created_at)
    assert end_overdue_workflows() == 1
    assert Workflow.objects.get(pk=cancelled.pk).status == "cancelled"
    assert Workflow.objects.get(pk=late.pk).error["code"] == "deadline_exceeded"


def test_a_held_run_is_not_resumed_by_hand(submit: Submit, hand: Hand) -> None:
    """It waits for budget."""
    workflow = submit("one_noop")
    Workflow.objects.filter(pk=workflow.pk).update(status="held")
    with pytest.raises(NotPaused, match="budget"):
        workflow_resume(workflow.pk)


def again(step: ClaimedStep) -> ClaimedStep:
    """The claimed step on the present state of its run, as an executor takes it after a conflict."""
    run = run_state(step.workflow_id)
    return replace(step, state=run.state, revision=run.revision)
