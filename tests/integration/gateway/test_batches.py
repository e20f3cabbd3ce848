"""Calls that go with batches, from the step that leaves them to the answer that it finds, on the real database."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from agentplatform.execution.attempts import ClaimedStep
from agentplatform.llm.messages import ModelResponse
from agentplatform.llm.tiers import Tier
from agentplatform.workflows.decisions import CancelRequested, PauseRequested, ResumeRequested
from apps.gateway import batches, selectors
from apps.gateway.batches import batch_request_cancel, batch_take
from apps.gateway.models import BatchRequest, Call, Provider, ProviderBatch
from apps.workflows.dispatching import wake_batched, wake_due
from apps.workflows.models import Step, StepAttempt, Workflow
from apps.workflows.services import workflow_decide
from tests.integration.gateway.conftest import (
    PatientWorker,
    Submit,
    advance,
    assert_money_adds_up,
    batch_counts,
    statuses,
    until_settled,
)
from tests.unit.conftest import RunningSimulator


def test_calls_go_together_and_come_back_at_half_the_price(
    worker: PatientWorker, leave: Any, simulator: RunningSimulator
) -> None:
    """Five steps wait without a slot; one batch answers them; each goes on with its own answer."""
    left = leave(5)
    assert set(Step.objects.values_list("status", "waiting_for")) == {("waiting", "provider_batch")}
    assert all(request.request for request in BatchRequest.objects.all())
    assert set(Call.objects.values_list("status", "lane")) == {("started", "batch")}
    advance()
    (batch,) = ProviderBatch.objects.all()
    assert (batch.status, batch.request_count, batch.succeeded_count) == ("settled", 5, 5)
    assert wake_batched() == 5
    assert worker.work() == 5
    for workflow in left:
        workflow.refresh_from_db()
        assert workflow.status == "succeeded"
        call = Call.objects.get(workflow_id=workflow.pk)
        (text,) = workflow.result["texts"]
        assert text == call.response["content"][0]["text"]
        assert (call.status, call.lane, call.provider_request_id) == (
            "settled",
            "batch",
            batch.provider_batch_id,
        )
    for call in Call.objects.all():
        prices = selectors.catalogue().prices.of(call.model)
        full = prices.cost_usd_micros(ModelResponse.from_json(call.response).usage)
        assert call.cost_usd_micros == pytest.approx(full / 2, abs=1)
    assert simulator.calls()["by_model"] == {}
    assert_money_adds_up()
    assert not BatchRequest.objects.exclude(request=None).exists()
    assert StepAttempt.objects.filter(outcome="waited").count() == 5


def test_each_call_of_a_step_goes_with_a_batch_of_its_own(
    worker: PatientWorker, submit: Submit, simulator: RunningSimulator
) -> None:
    """The second is left when the first has been answered; neither is bought twice."""
    workflow = submit("patient_ask", {"calls": 2}, queue="batch")
    for _ in range(2):
        assert worker.work() == 1
        advance()
        assert wake_batched() == 1
    assert worker.work() == 1
    workflow.refresh_from_db()
    assert (workflow.status, len(workflow.result["texts"])) == ("succeeded", 2)
    assert list(Call.objects.order_by("ordinal").values_list("ordinal", "status")) == [
        (0, "settled"),
        (1, "settled"),
    ]
    assert batch_counts(simulator)["created"] == 2
    assert Step.objects.get().attempt == 3
    assert_money_adds_up()


def test_requests_that_fail_or_expire_are_made_in_the_ordinary_lane(
    worker: PatientWorker, leave: Any, simulator: RunningSimulator
) -> None:
    """They have cost nothing; the others keep their answers."""
    simulator.set_provider("anthropic", batches={"seconds": 0, "errored_share": 0.2, "expired_share": 0.2})
    left = leave(5)
    advance()
    assert statuses() == ["errored", "expired", "succeeded", "succeeded", "succeeded"]
    assert wake_batched() == 5
    assert worker.work() == 5
    assert set(Workflow.objects.values_list("status", flat=True)) == {"succeeded"}
    assert Call.objects.filter(lane="live", status="settled").count() == 2
    failed = Call.objects.filter(lane="batch", status="failed")
    assert {call.error_code for call in failed} > {"batch_expired"}
    assert {call.cost_usd_micros for call in failed} == {0}
    assert len(left) == 5
    assert_money_adds_up()


def test_a_cancelled_workflow_takes_its_request_out_before_it_is_sent(
    leave: Any, simulator: RunningSimulator
) -> None:
    """What was never sent has cost nothing, and the rest goes without it."""
    first, _ = leave(2)
    workflow_decide(first.pk, CancelRequested())
    advance()
    assert statuses() == ["succeeded", "withdrawn"]
    call = Call.objects.get(workflow_id=first.pk)
    assert (call.status, call.error_code, call.cost_usd_micros) == ("failed", "batch_withdrawn", 0)
    assert ProviderBatch.objects.get().request_count == 1
    assert_money_adds_up()


def test_a_batch_that_nobody_waits_for_is_cancelled_at_its_provider(
    leave: Any, simulator: RunningSimulator
) -> None:
    """Its calls end as failed, at no cost."""
    simulator.set_provider("anthropic", batches={"seconds": 3600})
    left = leave(3)
    advance()
    assert statuses() == ["submitted"] * 3
    workflow_decide(left[0].pk, CancelRequested())
    advance()
    assert batch_counts(simulator)["by_status"] == {"in_progress": 1}
    for workflow in left[1:]:
        workflow_decide(workflow.pk, CancelRequested())
    advance(1)
    assert ProviderBatch.objects.get().status == "canceling"
    assert batch_counts(simulator)["by_status"] == {"canceling": 1}


def test_a_result_that_comes_too_late_is_settled_once_all_the_same(
    worker: PatientWorker, leave: Any, simulator: RunningSimulator
) -> None:
    """The provider has billed it; the step had its answer from the ordinary lane by then."""
    (workflow,) = leave()
    batches.batches_group()
    batch = batch_take()
    assert batch is not None
    batches.BatchKeeper(batch, lambda _: None).advance()
    Workflow.objects.update(deadline_at=Now() + timedelta(seconds=3_000))
    Step.objects.update(run_at=Now())
    assert wake_due() == 1
    assert worker.work() == 1
    workflow.refresh_from_db()
    assert workflow.status == "succeeded"
    assert statuses() == ["withdrawn"]
    paid = workflow.cost_usd_micros
    advance()
    advance()
    workflow.refresh_from_db()
    assert statuses() == ["withdrawn"]
    late = Call.objects.get(lane="batch")
    assert late.status == "settled"
    assert workflow.cost_usd_micros == paid + late.cost_usd_micros > paid
    assert_money_adds_up()


def test_an_operator_cancels_a_batch(worker: PatientWorker, leave: Any, simulator: RunningSimulator) -> None:
    """Whose calls are then made in the ordinary lane."""
    simulator.set_provider("anthropic", batches={"seconds": 3})
    leave(2)
    advance()
    batch = ProviderBatch.objects.get()
    assert batch_request_cancel(batch)
    assert not batch_request_cancel(batch)
    until_settled()
    assert statuses() == ["cancelled", "cancelled"]
    assert (wake_batched(), worker.work()) == (2, 2)
    assert set(Workflow.objects.values_list("status", flat=True)) == {"succeeded"}
    assert_money_adds_up()


def test_a_batch_that_is_cancelled_before_it_is_sent_never_is(
    worker: PatientWorker, leave: Any, simulator: RunningSimulator
) -> None:
    """Its calls have cost nothing."""
    leave(1)
    batches.batches_group()
    assert batch_request_cancel(ProviderBatch.objects.get())
    advance()
    assert (ProviderBatch.objects.get().status, statuses()) == ("cancelled", ["cancelled"])
    assert batch_counts(simulator)["created"] == 0
    assert (wake_batched(), worker.work()) == (1, 1)


def test_a_step_that_runs_is_told_of_its_answer_when_it_waits(
    leave: Any, simulator: RunningSimulator
) -> None:
    """An answer that is there before the wait is stored would be missed else."""
    leave(1)
    Step.objects.update(status="running", waiting_for=None, run_at=None, lease_expires_at=Now())
    advance()
    assert wake_batched() == 0
    Step.objects.update(status="waiting", waiting_for="provider_batch", lease_expires_at=None)
    assert wake_batched() == 1
    assert wake_batched() == 0


def test_a_call_that_its_workflow_cannot_pay_for_is_not_left(
    worker: PatientWorker, submit: Submit, simulator: RunningSimulator
) -> None:
    """Not even at half the price."""
    workflow = submit("patient_ask", queue="batch", max_cost_usd_micros=1)
    worker.work()
    workflow.refresh_from_db()
    assert (workflow.status, workflow.error["code"]) == ("failed", "max_cost_exceeded")
    assert not BatchRequest.objects.exists()
    assert not Call.objects.exists()


def test_another_question_at_the_same_place_is_asked_in_the_ordinary_lane(
    worker: PatientWorker, leave: Any, simulator: RunningSimulator
) -> None:
    """An agent whose prompt has changed meanwhile does not wait for ever new batches."""
    leave(1)
    BatchRequest.objects.update(request_hash="0" * 64)
    Step.objects.update(run_at=Now())
    assert (wake_due(), worker.work()) == (1, 1)
    assert statuses() == ["withdrawn"]
    assert Workflow.objects.get().status == "succeeded"


def test_a_provider_that_may_take_no_batches_any_longer_gets_none(
    worker: PatientWorker, leave: Any, simulator: RunningSimulator
) -> None:
    """What was left to it goes to the ordinary lane."""
    leave(1)
    Provider.objects.update(takes_batches=False)
    advance()
    assert batch_counts(simulator)["created"] == 0
    assert (wake_batched(), worker.work()) == (1, 1)
    assert Workflow.objects.get().status == "succeeded"


def test_a_lower_tier_than_asked_for_is_told_of_though_a_batch_answers(
    worker: PatientWorker, submit: Submit, simulator: RunningSimulator
) -> None:
    """Routing is passed by when the answer is replayed; what it noted is not lost."""
    workflow = submit("patient_ask", queue="batch")
    claim = worker.executor._store.claim

    def claim_capped(step_id: uuid.UUID, attempt: int) -> ClaimedStep:
        step = claim(step_id, attempt)
        assert step is not None
        return replace(step, tier="powerful", max_tier=Tier.FAST)

    worker.executor._store.claim = claim_capped  # type: ignore[method-assign]
    assert worker.work() == 1
    advance()
    assert (wake_batched(), worker.work()) == (1, 1)
    workflow.refresh_from_db()
    assert (Call.objects.get().status, Call.objects.get().lane) == ("settled", "batch")
    assert [note["code"] for note in workflow.degradations] == ["tier_capped"]


def test_an_answer_that_comes_while_its_workflow_is_paused_is_there_when_it_goes_on(
    worker: PatientWorker, leave: Any, simulator: RunningSimulator
) -> None:
    """The step is parked until then, and its request is not withdrawn."""
    (workflow,) = leave(1)
    workflow_decide(workflow.pk, PauseRequested())
    advance()
    assert statuses() == ["succeeded"]
    wake_batched()
    worker.work()
    assert Step.objects.get().waiting_for == "resume"
    workflow_decide(workflow.pk, ResumeRequested())
    assert worker.work() == 1
    workflow.refresh_from_db()
    assert workflow.status == "succeeded"
    assert Call.objects.get().lane == "batch"
