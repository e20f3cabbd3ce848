"""A submission that a run has answered before ends at once, without a step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Sum

from agentplatform.llm.caching.policy import CacheControl
from apps.budgets.models import LedgerEntry
from apps.knowledge.services import document_create
from apps.notifications.models import Delivery
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from apps.workflows.models import Event, Workflow
from apps.workflows.services import workflow_start
from apps.workflows.submissions import submission_make
from tests.integration.caching.conftest import Answered, KeepingWorker, Submit
from tests.unit.conftest import RunningSimulator

KEPT = "one_kept_question"


def test_a_result_is_given_again_at_submission(
    answered: Answered, submit: Submit, simulator: RunningSimulator
) -> None:
    """No step, no worker: it has ended when it is accepted, and says whose result it is."""
    first = answered(type_=KEPT)
    second = submit(KEPT, {"question": "How long is  a lease?"})
    assert second.status == "succeeded"
    assert second.finished_at is not None
    assert second.result == first.result
    assert second.cache["layer"] == "exact"
    assert second.cache["source_workflow_id"] == str(first.pk)
    assert second.steps.count() == 0
    assert Event.objects.get(workflow=second).data == {"status": "succeeded"}
    assert simulator.calls()["total"] == 1


def test_what_was_avoided_is_in_the_ledger(answered: Answered, submit: Submit) -> None:
    """An entry for each model that would have been asked, at no cost."""
    first = answered(type_=KEPT)
    second = submit(KEPT, {"question": "How long is a lease?"})
    (entry,) = LedgerEntry.objects.filter(workflow_id=second.pk)
    assert (entry.kind, entry.cache_layer, entry.cost_usd_micros) == ("cache_hit", "workflow", 0)
    assert entry.avoided_usd_micros == first.cost_usd_micros > 0
    paid = LedgerEntry.objects.filter(workflow_id=first.pk).aggregate(
        tokens=Sum("input_tokens") + Sum("output_tokens")
    )
    assert entry.served_tokens == paid["tokens"]


def test_fields_that_say_nothing_of_the_answer_are_left_out(answered: Answered, submit: Submit) -> None:
    """As the definition declares them."""
    answered(type_=KEPT, trace_id="one")
    again = submit(KEPT, {"question": "How long is a lease?", "trace_id": "two"})
    other = submit(KEPT, {"question": "How long is a lease?", "version": 2})
    assert again.cache is not None
    assert other.cache is None


def test_a_change_of_the_knowledge_base_ends_it(answered: Answered, submit: Submit, tenant: Tenant) -> None:
    """No answer from before it is given after it."""
    answered(type_=KEPT)
    document_create(tenant=tenant, title="Leases", content="A lease is long.", content_type="text/plain")
    assert submit(KEPT, {"question": "How long is a lease?"}).cache is None


def test_another_tenant_is_given_nothing(answered: Answered, submit: Submit) -> None:
    """Whatever it asks."""
    answered(type_=KEPT)
    other = tenant_create(name="other", tier="standard")
    assert submit(KEPT, {"question": "How long is a lease?"}, tenant=other).cache is None


def test_a_result_is_not_given_when_it_is_too_old(answered: Answered, submit: Submit) -> None:
    """Ten minutes, as the definition says."""
    first = answered(type_=KEPT)
    Workflow.objects.filter(pk=first.pk).update(finished_at=first.finished_at - timedelta(minutes=11))
    assert submit(KEPT, {"question": "How long is a lease?"}).cache is None


@pytest.mark.parametrize(
    "change", [{"status": "partial"}, {"degradations": [{"code": "tier_capped", "message": "…"}]}]
)
def test_a_result_that_fell_short_is_not_given_again(
    answered: Answered, submit: Submit, change: dict[str, Any]
) -> None:
    """A part is missing, or another model has answered than was asked for."""
    first = answered(type_=KEPT)
    Workflow.objects.filter(pk=first.pk).update(**change)
    assert submit(KEPT, {"question": "How long is a lease?"}).cache is None


def test_a_submission_may_ask_for_a_new_result(answered: Answered, submit: Submit) -> None:
    """And whether its own may be given again."""
    answered(type_=KEPT)
    fresh = submit(KEPT, {"question": "How long is a lease?"}, cache_control=CacheControl.NO_CACHE)
    secret = submit(KEPT, {"question": "How long is a lease?"}, cache_control=CacheControl.NO_STORE)
    assert fresh.cache is None
    assert fresh.cache_key is not None
    assert (secret.cache, secret.cache_key) == (None, None)


def test_a_repeated_submission_returns_the_first_run(answered: Answered, tenant: Tenant) -> None:
    """By its key, answered or not."""
    answered(type_=KEPT)
    submission = submission_make(
        tenant=tenant, type_=KEPT, workflow_input={"question": "How long is a lease?"}
    )
    first = workflow_start(tenant=tenant, submission=submission, idempotency_key="k")
    again = workflow_start(tenant=tenant, submission=submission, idempotency_key="k")
    assert (first.is_answered, first.is_new) == (True, True)
    assert (again.id, again.is_new) == (first.id, False)


def test_the_steps_of_a_run_are_answered_one_by_one_where_its_result_is_gone(
    answered: Answered, worker: KeepingWorker, submit: Submit, simulator: RunningSimulator
) -> None:
    """Each from what is kept for it."""
    first = answered(type_=KEPT)
    Workflow.objects.filter(pk=first.pk).update(cache_key=None)
    second = answered(type_=KEPT)
    assert (second.cache, second.cost_usd_micros, second.status) == (None, 0, "succeeded")
    assert simulator.calls()["total"] == 1
    assert Delivery.objects.count() == 0
