"""What yesterday has cost, told once."""

from __future__ import annotations

from typing import Any

import pytest

from apps.insights.digest import cost_digests_send
from apps.insights.forecasting import forecasts_renew
from apps.notifications.models import Delivery, Notice, Recipient
from apps.tenants.models import Tenant
from tests.integration.insights.conftest import DAY, HOUR, USD, midnight, spent


@pytest.fixture
def yesterday(tenant: Tenant, other: Tenant, settings: Any) -> None:
    """Two tenants that spent something yesterday, and one of them the day before; it is late enough to tell."""
    settings.COST_DIGEST_HOUR = 0
    settings.EMAIL_HOST = "mail.example.com"
    settings.OPERATOR_EMAILS = ["ops@example.com"]
    spent(tenant, 1.25, midnight() - HOUR, task_type="extract_data", avoided_usd_micros=7)
    spent(tenant, 2.0, midnight() - DAY, model="claude-opus-4-1")
    spent(tenant, 9.0, midnight() - DAY - HOUR)
    spent(other, 10.0, midnight() - 2 * HOUR)
    spent(other, 99.0, midnight())


@pytest.mark.usefixtures("yesterday")
def test_each_tenant_is_told_its_own_costs(tenant: Tenant, other: Tenant) -> None:
    """By task type and model, beside the day before; of others it learns nothing."""
    assert cost_digests_send() == 3
    notice = Notice.objects.get(code="cost.digest", tenant=tenant)
    day = f"{midnight() - DAY:%Y-%m-%d}"
    assert notice.title == f"Costs of {day}: $3.25"
    assert "($9.00 the day before)" in notice.message
    for line in ("extract_data: $1.25", "answer_question: $2.00", "claude-opus-4-1: $2.00"):
        assert line in notice.message
    assert "other" not in notice.message
    assert (notice.audience, notice.data["cost_usd_micros"], notice.data["calls"]) == (
        "tenant",
        3_250_000,
        2,
    )
    assert notice.data["avoided_usd_micros"] == 7
    assert Notice.objects.get(code="cost.digest", tenant=other).data["cost_usd_micros"] == 10 * USD


@pytest.mark.usefixtures("yesterday")
def test_operators_are_told_of_all(tenant: Tenant) -> None:
    """By tenant too, with the month's projection, by e-mail also to OPERATOR_EMAILS."""
    Recipient.objects.create(tenant=tenant, email="finance@acme.example.com")
    forecasts_renew()
    cost_digests_send()
    notice = Notice.objects.get(code="cost.digest", audience="operators")
    assert "$13.25" in notice.title
    for line in ("other: $10.00", "acme: $3.25", "This month is expected to come to $"):
        assert line in notice.message
    mails = dict(Delivery.objects.filter(channel="email").values_list("email", "notice__audience"))
    assert mails == {"ops@example.com": "operators", "finance@acme.example.com": "tenant"}


@pytest.mark.usefixtures("yesterday")
def test_nobody_is_told_twice(tenant: Tenant) -> None:
    """Also when a run was cut off half way: only those who were not told yet are."""
    assert cost_digests_send() == 3
    assert cost_digests_send() == 0
    Notice.objects.filter(audience="operators").delete()
    Notice.objects.filter(tenant=tenant).delete()
    assert cost_digests_send() == 2
    assert Notice.objects.count() == 3


@pytest.mark.usefixtures("yesterday")
def test_nobody_is_told_before_the_hour(settings: Any) -> None:
    """An hour that never comes tells nobody."""
    settings.COST_DIGEST_HOUR = 24
    assert cost_digests_send() == 0
    assert not Notice.objects.exists()


def test_a_day_without_costs_is_told_to_operators_alone(tenant: Tenant, settings: Any) -> None:
    """They learn that nothing was spent."""
    settings.COST_DIGEST_HOUR = 0
    assert cost_digests_send() == 1
    assert "nothing" in Notice.objects.get().message


@pytest.mark.usefixtures("yesterday")
def test_a_long_list_is_cut_and_added_up(tenant: Tenant) -> None:
    """Ten lines, and what the others come to."""
    for number in range(15):
        spent(tenant, 0.5, midnight() - HOUR, task_type=f"small_{number:02}")
    cost_digests_send()
    message = Notice.objects.get(code="cost.digest", tenant=tenant).message
    assert "7 more: $3.50" in message
