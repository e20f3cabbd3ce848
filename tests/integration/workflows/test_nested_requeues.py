"""Requeues of runs that steps have started: with the run above them, or as it stands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import transaction

from apps.tenants.models import Tenant
from apps.workflows.dispatching import wake_parents
from apps.workflows.letters import DeadLetter
from apps.workflows.models import Workflow
from apps.workflows.services import workflow_pause, workflow_resume
from tests.integration.conftest import Hand
from tests.integration.workflows.letters import PERMANENT, fresh, requeue
from tests.integration.workflows.test_nested_costs import until_somebody_waits
from tests.integration.workflows.test_pausing_nested_runs import Beside
from tests.integration.workflows.worker import OneThread

Submit = Callable[..., Workflow]


@pytest.fixture
def failed(submit: Submit, tenant: Tenant) -> tuple[Workflow, Workflow]:
    """A run that has failed of the one that its step has started."""
    outer = OneThread().done(submit("outer_failing"))
    return outer, Workflow.objects.get(parent_id=outer.pk)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_run_whose_parent_has_ended_is_not_requeued_without_it(
    failed: tuple[Workflow, Workflow], dry_run: bool
) -> None:
    """It would be cancelled as an orphan; its letter stays open, and the answer says what to do."""
    outer, inner = failed
    report = requeue(DeadLetter.objects.filter(workflow=inner), dry_run=dry_run)
    assert (report.requeued, len(report.refused)) == (0, 1)
    assert f"{outer.pk}, has ended: requeue its step" in report.refused[0].detail
    assert (fresh(inner).status, wake_parents()) == ("failed", 0)
    assert DeadLetter.objects.filter(status="open").count() == 2
    assert requeue(dry_run=dry_run).requeued == 2


def test_a_run_and_the_one_above_are_reopened_at_the_same_moment(failed: tuple[Workflow, Workflow]) -> None:
    """Neither is seen to run without the other: one would be cancelled, the other would start another."""
    outer, inner = failed
    with transaction.atomic():
        Workflow.objects.select_for_update(no_key=True).get(pk=outer.pk)
        beside = Beside(requeue)
        until_somebody_waits()
        assert (fresh(inner).status, wake_parents()) == ("failed", 0)
    beside.join()
    assert (fresh(outer).status, fresh(inner).status) == ("running", "running")
    assert OneThread().done(outer).status == "failed"
    assert Workflow.objects.filter(parent_id=outer.pk).count() == 1


def test_a_run_that_is_requeued_under_a_paused_one_is_paused(submit: Submit, tenant: Tenant) -> None:
    """And goes on with it."""
    worker, outer = OneThread(), submit("outer_failing")
    while not DeadLetter.objects.exists():
        worker.run_admitted()
    inner = Workflow.objects.get(parent_id=outer.pk)
    workflow_pause(outer.pk)
    assert requeue().requeued == 1
    assert (fresh(inner).status, worker.hand.admit()) == ("paused", [])
    workflow_resume(outer.pk)
    assert fresh(inner).status == "running"
    assert worker.done(outer).status == "failed"
    assert inner.steps.get(node="broken").attempt == 2


def test_a_run_that_was_cancelled_with_the_one_above_is_made_anew(submit: Submit, hand: Hand) -> None:
    """That was no fault of its step, which does not fail of it where another element is requeued."""
    worker, outer = OneThread(), submit("outer_each", {"items": [1, 1]})
    worker.run_admitted()
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    worker.executor.run(*hand.admit(1)[0])
    assert (fresh(outer).status, wake_parents()) == ("failed", 1)
    assert requeue().requeued == 2
    assert worker.done(outer).status == "succeeded"
    runs = Workflow.objects.filter(parent_id=outer.pk).order_by("pk")
    assert [run.status for run in runs] == ["succeeded", "cancelled", "succeeded"]


def test_a_run_that_was_told_less_is_made_anew(submit: Submit, hand: Hand) -> None:
    """Its step waited for one that was skipped, and is requeued: an old result would not have it."""
    outer = submit("outer_without_first", {"count": 2})
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    worker = OneThread()
    assert worker.done(outer).status == "partial"
    assert requeue().requeued == 1
    assert worker.done(outer).status == "succeeded"
    assert Workflow.objects.filter(parent_id=outer.pk).count() == 2


def test_a_result_that_was_there_already_is_not_paid_for_again(submit: Submit, hand: Hand) -> None:
    """Where the one above ended before its step had taken it."""
    worker, outer = OneThread(), submit("outer_each", {"items": [1, 1]})
    worker.run_admitted()
    hand.finish(hand.claim_next(), outcome=PERMANENT)
    hints = hand.admit(2)
    beside = Workflow.objects.filter(parent_id=outer.pk).order_by("pk").last()
    assert beside is not None
    step = hand.store.claim(*hints[1])
    assert step is not None
    assert step.workflow_id == beside.pk
    hand.finish(step, {})
    worker.executor.run(*hints[0])
    assert (fresh(outer).status, fresh(beside).status) == ("failed", "succeeded")
    assert requeue().requeued == 2
    assert worker.done(outer).status == "succeeded"
    assert Workflow.objects.filter(parent_id=outer.pk).count() == 2
