"""Batches whose sending is interrupted, that are refused, lost, or looked after by many: each call is settled once."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from agentplatform.llm.batches import BatchItem
from agentplatform.llm.messages import ModelRequest
from apps.budgets.models import LedgerEntry
from apps.gateway import batches
from apps.gateway.batches import batch_take
from apps.gateway.models import BatchRequest, Call, ProviderBatch
from apps.workflows.batching import batches_advance
from apps.workflows.dispatching import wake_batched
from apps.workflows.models import Step, Workflow
from tests.integration.conftest import expire, recover
from tests.integration.gateway.conftest import (
    PatientWorker,
    Submit,
    advance,
    assert_money_adds_up,
    batch_counts,
    due,
    statuses,
    until_settled,
)
from tests.unit.conftest import RunningSimulator
from tests.unit.llm.conftest import provider_at


def test_a_batch_that_was_sent_but_not_noted_is_found_at_its_provider(
    worker: PatientWorker, leave: Any, simulator: RunningSimulator
) -> None:
    """By its time and its number of requests: it is not sent again."""
    simulator.set_provider("anthropic", batches={"seconds": 0.3})
    leave(3)
    batches_advance()
    ProviderBatch.objects.update(
        status="submitting", provider_batch_id=None, submitted_at=None, due_at=Now(), lease=F("lease") + 1
    )
    until_settled()
    assert batch_counts(simulator)["created"] == 1
    assert (wake_batched(), worker.work()) == (3, 3)
    assert_money_adds_up()


def test_a_batch_that_did_not_arrive_is_sent_again(
    worker: PatientWorker, leave: Any, simulator: RunningSimulator
) -> None:
    """An error that leaves it open whether it did is looked into first."""
    leave(2)
    simulator.fault(endpoint="batches", status=500, count=1)
    batches_advance()
    assert ProviderBatch.objects.get().status == "submitting"
    assert batch_counts(simulator)["created"] == 0
    due()
    until_settled()
    assert batch_counts(simulator)["created"] == 1
    assert (wake_batched(), worker.work()) == (2, 2)
    assert_money_adds_up()


def test_another_installations_batch_of_the_same_size_does_no_harm(
    worker: PatientWorker, leave: Any, simulator: RunningSimulator
) -> None:
    """Taken for the lost one, it brings no results of ours: our calls are made in the ordinary lane."""
    leave(1)
    simulator.fault(endpoint="batches", status=500, count=1)
    batches_advance()
    others = provider_at(simulator.url).batches
    request = ModelRequest.from_json(BatchRequest.objects.get().request)
    others.submit_batch([BatchItem(str(uuid.uuid4()), request)], "claude-haiku-5-5", timeout_seconds=5)
    due()
    until_settled()
    assert statuses() == ["errored"]
    assert (Call.objects.get().status, Call.objects.get().error_code) == ("unknown", "batch_result_missing")
    assert (wake_batched(), worker.work()) == (1, 1)
    assert Workflow.objects.get().status == "succeeded"
    assert_money_adds_up()


def test_a_provider_that_is_busy_is_asked_again_later(leave: Any, simulator: RunningSimulator) -> None:
    """The requests are surely not sent: they can be withdrawn at no cost meanwhile."""
    leave(2)
    simulator.fault(endpoint="batches", status=529, count=1)
    batches_advance()
    batch = ProviderBatch.objects.get()
    assert (batch.status, batch.failures, batch.error_code) == ("queued", 1, "overloaded_error")
    assert statuses() == ["pending", "pending"]
    batches_advance()
    assert batch_counts(simulator)["created"] == 0
    due()
    until_settled()
    assert statuses() == ["succeeded", "succeeded"]


@pytest.mark.parametrize(
    ("fault", "times"), [({"status": 401}, 1), ({"status": 529}, batches.SUBMIT_ATTEMPTS)]
)
def test_calls_of_a_batch_that_is_not_taken_are_made_in_the_ordinary_lane(
    worker: PatientWorker, leave: Any, simulator: RunningSimulator, fault: dict[str, int], times: int
) -> None:
    """At once where the provider never will, else after some tries."""
    leave(2)
    simulator.fault(endpoint="batches", **fault)
    for _ in range(times):
        assert statuses() == ["pending", "pending"]
        batches_advance()
        due()
    assert statuses() == ["errored", "errored"]
    assert ProviderBatch.objects.get().status == "failed"
    assert set(Call.objects.values_list("status", "cost_usd_micros")) == {("failed", 0)}
    assert (wake_batched(), worker.work()) == (2, 2)
    assert set(Workflow.objects.values_list("status", flat=True)) == {"succeeded"}
    assert_money_adds_up()


def test_a_batch_that_its_provider_has_lost_is_given_up(
    worker: PatientWorker, leave: Any, simulator: RunningSimulator
) -> None:
    """What its calls cost is not known, and they are made again."""
    simulator.set_provider("anthropic", batches={"seconds": 3600})
    leave(1)
    advance()
    simulator.reset()
    due()
    advance()
    assert (ProviderBatch.objects.get().status, statuses()) == ("failed", ["errored"])
    assert Call.objects.get().status == "unknown"
    assert (wake_batched(), worker.work()) == (1, 1)
    assert Workflow.objects.get().status == "succeeded"


def test_many_processes_send_and_settle_each_call_once(
    worker: PatientWorker, leave: Any, simulator: RunningSimulator, settings: Any
) -> None:
    """Eight at once, on batches of three."""
    settings.BATCH_MAX_REQUESTS = 3
    leave(30)

    def one(_: int) -> None:
        try:
            batches.batches_group()
            batches.batches_work(DatabaseBatchSettlement(), seconds=5)
        finally:
            connection.close()

    from apps.workflows.batching import DatabaseBatchSettlement

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(16)))
    until_settled()
    created = batch_counts(simulator)["created"]
    assert created == ProviderBatch.objects.count() >= 10
    assert batch_counts(simulator)["requests"]["succeeded"] == 30
    assert statuses() == ["succeeded"] * 30
    assert LedgerEntry.objects.count() == 30
    assert_money_adds_up()


def test_who_sends_a_batch_that_was_taken_from_him_takes_it_back(
    leave: Any, simulator: RunningSimulator
) -> None:
    """His lease has ended while he sent it: of the two, his is cancelled."""
    simulator.set_provider("anthropic", batches={"seconds": 3600})
    leave(2)
    batches.batches_group()
    slow = batch_take()
    assert slow is not None
    keeper = batches.BatchKeeper(slow, lambda _: None)
    begin = keeper._begin_submitting

    def begin_slowly() -> list[BatchRequest]:
        requests = begin()
        ProviderBatch.objects.update(lease=F("lease") + 1)
        return requests

    keeper._begin_submitting = begin_slowly  # type: ignore[method-assign]
    keeper.advance()
    assert ProviderBatch.objects.get().status == "submitting"
    assert batch_counts(simulator)["by_status"] == {"canceling": 1}


def test_a_worker_that_is_lost_before_it_waits_leaves_one_call(
    worker: PatientWorker, submit: Submit, simulator: RunningSimulator
) -> None:
    """The attempt after it waits for the same one, whose call is not given up as unknown."""
    submit("patient_ask", queue="batch")
    step = worker.hand.claim_next()
    finish = worker.executor._finish

    def vanish(*_: Any, **__: Any) -> Any:
        raise SystemExit

    worker.executor._finish = vanish  # type: ignore[method-assign]
    worker.executor._store.claim = lambda *_: step  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        worker.executor.run(step.step_id, step.attempt)
    expire(step)
    assert recover() == 1
    assert Call.objects.get().status == "started"
    restarted = PatientWorker(simulator)
    assert finish is not None
    assert restarted.work() == 1
    assert Step.objects.get().waiting_for == "provider_batch"
    advance()
    assert (wake_batched(), restarted.work()) == (1, 1)
    assert Workflow.objects.get().status == "succeeded"
    assert Call.objects.count() == 1
    assert_money_adds_up()
