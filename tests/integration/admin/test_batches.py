"""The pages of batches: who sees them, what they show, and who cancels."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models.functions import Now

from apps.gateway.models import BatchRequest, Call, ProviderBatch
from apps.tenants.models import Tenant
from tests.integration.admin.conftest import Person, change_url, list_url, logged, operation_url


@pytest.fixture
def batch(tenant: Tenant) -> ProviderBatch:
    """A batch that a provider works on, with one call."""
    made = ProviderBatch.objects.create(
        provider="anthropic",
        model="claude-haiku-5-5",
        status="in_progress",
        provider_batch_id="msgbatch_1",
        request_count=1,
        submitted_at=Now(),
    )
    call = Call.objects.create(
        id=uuid.uuid4(),
        tenant=tenant,
        workflow_id=uuid.uuid4(),
        step_id=uuid.uuid4(),
        attempt=1,
        ordinal=0,
        request_hash="hash",
        status="started",
        task_type="patient_ask",
        agent="ask",
        tier="fast",
        provider="anthropic",
        model="claude-haiku-5-5",
        lane="batch",
    )
    BatchRequest.objects.create(
        call=call,
        tenant=tenant,
        workflow_id=call.workflow_id,
        step_id=call.step_id,
        ordinal=0,
        request_hash="hash",
        provider="anthropic",
        model="claude-haiku-5-5",
        request={"messages": [{"role": "user", "content": "a secret prompt"}]},
        request_bytes=10,
        status="submitted",
        batch=made,
    )
    return made


@pytest.mark.parametrize("group", ["operator", "finance", "read-only"])
def test_every_group_sees_batches_with_their_calls(
    somebody: Callable[..., Person], batch: ProviderBatch, tenant: Tenant, group: str
) -> None:
    """With a link to each call, and nothing of a prompt."""
    person = somebody(group)
    html = person.page(list_url(ProviderBatch))
    assert "claude-haiku-5-5" in html
    assert list_url(ProviderBatch) in html
    detail = person.page(change_url(batch))
    call = Call.objects.get()
    assert change_url(call) in detail
    assert tenant.name in detail
    assert "a secret prompt" not in html + detail
    assert (operation_url(batch, "cancel") in detail) == (group == "operator")


def test_an_operator_cancels_a_batch_and_that_is_logged(operator: Person, batch: ProviderBatch) -> None:
    """Once asked and confirmed; a second time there is nothing to cancel."""
    url = operation_url(batch, "cancel")
    assert "at the full price" in operator.page(url)
    assert ProviderBatch.objects.get().cancel_requested_at is None
    assert operator.confirm(url).status_code == 302
    assert ProviderBatch.objects.get().cancel_requested_at is not None
    assert logged(batch) == ["Cancelled while in_progress"]
    assert url not in operator.page(change_url(batch))
    operator.confirm(url)
    assert logged(batch) == ["Cancelled while in_progress"]


def test_batches_are_cancelled_from_the_list(operator: Person, batch: ProviderBatch) -> None:
    """Only those that were chosen, and only once it is confirmed."""
    chosen = {"action": "cancel_selected", "index": "0", ACTION_CHECKBOX_NAME: str(batch.pk)}
    assert operator.post(list_url(ProviderBatch), **chosen).status_code == 200
    assert ProviderBatch.objects.get().cancel_requested_at is None
    operator.post(list_url(ProviderBatch), confirmed="1", **chosen)
    assert ProviderBatch.objects.get().cancel_requested_at is not None


def test_who_only_reads_cancels_nothing(reader: Person, batch: ProviderBatch) -> None:
    """Neither on the page nor from the list."""
    assert reader.post(operation_url(batch, "cancel"), confirmed="1").status_code == 403
    chosen = {"action": "cancel_selected", "confirmed": "1", ACTION_CHECKBOX_NAME: str(batch.pk)}
    assert reader.post(list_url(ProviderBatch), **chosen).status_code == 403
    assert ProviderBatch.objects.get().cancel_requested_at is None
