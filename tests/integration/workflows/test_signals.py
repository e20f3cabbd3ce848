"""Approvals, signals and timers: who waits holds no slot, and the first answer counts."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from apps.workflows.dispatching import mark_lost_lanes
from apps.workflows.models import Signal, Step, Workflow
from apps.workflows.services import AlreadyFinished, workflow_pause, workflow_resume
from apps.workflows.signals import AlreadyAnswered, NotWaiting, signal_send, step_answer
from tests.integration.conftest import Hand
from tests.integration.workflows.letters import PERMANENT, requeue
from tests.integration.workflows.worker import OneThread, later, statuses, worker

__all__ = ["worker"]

Submit = Callable[..., Workflow]


def answer(workflow: Workflow, approved: bool, key: str = "approve", sender: str = "ann") -> None:
    step_answer(workflow.pk, key=key, approved=approved, comment="so be it", sender=sender)


@pytest.mark.parametrize("approved", [True, False])
def test_an_approval_is_waited_for_and_its_answer_handed_on(
    submit: Submit, worker: OneThread, approved: bool
) -> None:
    """What depends on it runs, or is omitted."""
    workflow = worker.done(submit("approval"))
    step = Step.objects.get(workflow=workflow, node="approve")
    assert (step.status, step.waiting_for) == ("waiting", "approval")
    answer(workflow, approved)
    worker.done(workflow)
    assert workflow.status == "succeeded"
    step.refresh_from_db()
    assert step.output == {"approved": approved, "comment": "so be it", "by": "ann", "expired": False}
    assert statuses(workflow)["publish"] == ("succeeded" if approved else "omitted")


def test_the_first_answer_wins(submit: Submit, worker: OneThread) -> None:
    """Of two at the same time, too; the other one is told whose counts."""
    workflow = worker.done(submit("approval"))
    refused: list[AlreadyAnswered] = []

    def give(approved: bool, sender: str) -> None:
        try:
            answer(workflow, approved, sender=sender)
        except AlreadyAnswered as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=give, args=told) for told in ((True, "ann"), (False, "bob"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    (second,) = refused
    kept = Signal.objects.get(workflow=workflow)
    assert second.answer == kept
    worker.done(workflow)
    with pytest.raises(AlreadyAnswered, match=kept.sender):
        answer(workflow, True)


def test_an_approval_that_nobody_gives_expires(submit: Submit, worker: OneThread) -> None:
    """It counts as a rejection unless the definition says otherwise; not before its time."""
    workflow = worker.done(submit("approval"))
    later(3_000)
    assert statuses(worker.done(workflow))["approve"] == "waiting"
    later(700)
    worker.done(workflow)
    output = Step.objects.get(workflow=workflow, node="approve").output
    assert output == {"approved": False, "comment": "Nobody answered in time.", "by": "", "expired": True}
    assert statuses(workflow)["publish"] == "omitted"


def test_a_rejection_may_be_a_failure(submit: Submit, worker: OneThread) -> None:
    """Where the definition says so."""
    workflow = worker.done(submit("strict_approval"))
    answer(workflow, False, key="ask")
    worker.done(workflow)
    assert (workflow.status, workflow.error["code"]) == ("failed", "rejected")


def test_only_what_waits_for_approval_takes_an_answer(submit: Submit, worker: OneThread) -> None:
    """Neither another step nor a run that has ended."""
    workflow = worker.done(submit("approval"))
    with pytest.raises(NotWaiting):
        answer(workflow, True, key="draft")
    other = worker.done(submit("one_noop"))
    with pytest.raises(AlreadyFinished):
        answer(other, True, key="step_0")
    assert not Signal.objects.exists()


def test_an_answer_during_a_pause_counts_when_the_run_goes_on(submit: Submit, worker: OneThread) -> None:
    """And not before."""
    workflow = worker.done(submit("approval"))
    workflow_pause(workflow.pk)
    answer(workflow, True)
    assert statuses(worker.done(workflow))["approve"] == "waiting"
    workflow_resume(workflow.pk)
    assert worker.done(workflow).status == "succeeded"


@pytest.mark.parametrize("early", [True, False])
def test_a_signal_reaches_the_step_that_waits_for_it(submit: Submit, worker: OneThread, early: bool) -> None:
    """Also when it came before the step did."""
    workflow = submit("signalled")
    if not early:
        worker.work()
        assert statuses(workflow)["await"] == "waiting"
    signal_send(workflow.pk, name="other", payload={}, sender="x")
    signal_send(workflow.pk, name="go", payload={"n": 1}, sender="key one")
    signal_send(workflow.pk, name="go", payload={"n": 2}, sender="key two")
    assert worker.done(workflow).result == {"received": True, "payload": {"n": 1}, "sender": "key one"}
    with pytest.raises(AlreadyFinished):
        signal_send(workflow.pk, name="go", payload={}, sender="x")


def test_a_signal_that_does_not_come_is_gone_on_without(submit: Submit, worker: OneThread) -> None:
    """After its time, and said in the output."""
    workflow = worker.done(submit("signalled"))
    later(3_700)
    assert worker.done(workflow).result == {"received": False, "payload": None, "sender": ""}


def test_a_timer_waits_its_time_and_holds_no_slot(submit: Submit, worker: OneThread) -> None:
    """However often it is woken before."""
    workflow = worker.done(submit("timed", {"seconds": 60}))
    step = Step.objects.get(workflow=workflow)
    assert (step.status, step.waiting_for) == ("waiting", "timer")
    Step.objects.update(status="ready", waiting_for=None)
    mark_lost_lanes()
    assert statuses(worker.done(workflow)) == {"pause": "waiting"}
    later(61)
    assert worker.done(workflow).result["waited_seconds"] >= 60


def test_a_time_that_is_none_is_refused(submit: Submit, worker: OneThread) -> None:
    """With what to do."""
    workflow = worker.done(submit("timed", {"seconds": "soon"}))
    assert (workflow.status, workflow.error["code"]) == ("failed", "no_time_to_wait")


def test_what_is_made_anew_is_asked_about_anew(submit: Submit, hand: Hand) -> None:
    """An answer was for what there was when a step was skipped: it counts no more once that one is requeued."""
    workflow, asked = submit("late_approval", {"output": {"items": ["a"]}}), ("sign", "each[0]")
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    worker = OneThread()
    worker.work()
    for key in asked:
        answer(workflow, True, key)
    assert worker.done(workflow).status == "partial"
    assert requeue().requeued == 1
    worker.work()
    waiting = Step.objects.filter(workflow=workflow, waiting_for="approval")
    assert {step.key for step in waiting} == set(asked)
    for key in asked:
        answer(workflow, False, key)
    assert worker.done(workflow).status == "succeeded"
    assert all(step.output["approved"] is False for step in Step.objects.filter(agent="ask_approval"))
