"""A call that goes with a batch is bought once, too: those who may wait wait for it, and its answer is kept."""

from __future__ import annotations

from django.db.models.functions import Now

from apps.gateway.models import CacheEntry, Call
from apps.workflows.dispatching import wake_batched, wake_due
from apps.workflows.models import Step, Workflow
from tests.integration.caching.conftest import KeepingWorker, Submit
from tests.integration.gateway.conftest import advance, assert_money_adds_up
from tests.unit.conftest import RunningSimulator

ASKED = {"question": "What can wait for a batch?"}


def test_equal_calls_that_may_wait_go_with_a_batch_once(
    patient_worker: KeepingWorker, submit: Submit
) -> None:
    """The second waits for the first one's batch, buys nothing, and is given its answer."""
    submitted = [submit("faq_routed", ASKED, queue="batch") for _ in range(2)]
    assert patient_worker.work() == 2
    assert set(Step.objects.values_list("status", "waiting_for")) == {("waiting", "provider_batch")}
    call = Call.objects.get()
    assert call.lane == "batch"
    first, second = sorted(submitted, key=lambda one: one.pk != call.workflow_id)
    advance()
    assert wake_batched() == 1
    assert patient_worker.work() == 1
    entry = CacheEntry.objects.get()
    assert (entry.source_workflow_id, entry.source_call_id) == (first.pk, call.pk)
    Step.objects.filter(workflow=second).update(run_at=Now())
    wake_due()
    assert patient_worker.work() == 1
    for workflow in (first, second):
        workflow.refresh_from_db()
        assert workflow.status == "succeeded"
    assert second.result == first.result
    assert (first.cost_usd_micros > 0, second.cost_usd_micros) == (True, 0)
    assert Call.objects.get(workflow_id=second.pk).cache["layer"] == "exact"
    assert_money_adds_up()


def test_who_is_in_haste_does_not_wait_for_a_batch(
    patient_worker: KeepingWorker, submit: Submit, simulator: RunningSimulator
) -> None:
    """It buys for itself, and what it has bought serves whoever waits."""
    submit("faq_routed", ASKED, queue="batch")
    assert patient_worker.work() == 1
    hasty = submit("faq_routed", ASKED)
    assert patient_worker.work() == 1
    hasty.refresh_from_db()
    assert hasty.status == "succeeded"
    assert hasty.cost_usd_micros > 0
    assert simulator.calls()["total"] == 1
    assert Workflow.objects.filter(status="running").count() == 1
