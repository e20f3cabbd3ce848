"""Tenants and tiers in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from apps.knowledge.services import document_create
from apps.tenants.models import Tenant, TenantTier
from apps.tenants.services import POOLS, TIERS, api_key_issue, tenant_create, tenant_suspend
from apps.workflows.models import QueuePool, Workflow
from config.celery import POOLS as CELERY_POOLS
from tests.integration.admin.conftest import HOSTILE, Person, change_url, list_url, logged, operation_url


def test_a_tenant_is_created_and_logged(operator: Person) -> None:
    """Name and tier; it is active, and the log says with what it was made."""
    response = operator.post(reverse("admin:tenants_tenant_add"), name="globex", tier="free")
    assert response.status_code == 302
    tenant = Tenant.objects.get(name="globex")
    assert (tenant.tier_id, tenant.status) == ("free", "active")
    (message,) = logged(tenant)
    assert message.startswith("Added: name 'globex', tier 'free'")
    assert tenant.limit("weight") == 1


def test_a_name_is_taken_once(operator: Person, tenant: Tenant) -> None:
    """The form says so."""
    response = operator.post(reverse("admin:tenants_tenant_add"), name="acme", tier="free")
    assert response.status_code == 200
    assert b"already exists" in response.content


def test_a_change_of_tier_is_logged_with_before_and_after(operator: Person, tenant: Tenant) -> None:
    """And a status that is sent along changes nothing."""
    operator.post(change_url(tenant), name="acme", tier="enterprise", status="suspended", state="suspended")
    tenant.refresh_from_db()
    assert (tenant.tier_id, tenant.status) == ("enterprise", "active")
    assert logged(tenant) == ["Changed: tier 'standard' → 'enterprise'"]


def test_a_tenant_is_suspended_with_a_reason_and_reactivated(operator: Person, tenant: Tenant) -> None:
    """Each asks first, does it once it is confirmed, and is logged."""
    response = operator.confirm(operation_url(tenant, "suspend"), reason="unpaid")
    assert response.status_code == 302
    tenant.refresh_from_db()
    assert (tenant.status, tenant.status_reason) == ("suspended", "unpaid")
    operator.confirm(operation_url(tenant, "reactivate"))
    tenant.refresh_from_db()
    assert (tenant.status, tenant.status_reason) == ("active", "")
    assert logged(tenant) == [
        "Suspended: status active → suspended, reason 'unpaid'",
        "Reactivated: status suspended → active, reason was 'unpaid'",
    ]


def test_a_suspension_needs_a_reason(operator: Person, tenant: Tenant) -> None:
    """Without one the page asks again."""
    response = operator.confirm(operation_url(tenant, "suspend"), reason="  ")
    assert response.status_code == 200
    tenant.refresh_from_db()
    assert tenant.is_active


def test_nothing_is_done_before_it_is_confirmed(operator: Person, tenant: Tenant) -> None:
    """Neither a GET nor an unconfirmed POST suspends."""
    operator.get(operation_url(tenant, "suspend"), confirmed="1", reason="link in a mail")
    operator.post(operation_url(tenant, "suspend"), reason="not confirmed")
    tenant.refresh_from_db()
    assert tenant.is_active
    assert logged(tenant) == []


def test_a_forged_request_from_another_site_is_refused(operator: Person, tenant: Tenant) -> None:
    """Operations are protected by the CSRF token."""
    operator.client.handler.enforce_csrf_checks = True
    response = operator.post(operation_url(tenant, "suspend"), confirmed="1", reason="forged")
    assert response.status_code == 403
    tenant.refresh_from_db()
    assert tenant.is_active


def test_the_page_offers_what_can_be_done(operator: Person, tenant: Tenant) -> None:
    """Suspend while it is active, reactivate while it is suspended."""
    html = operator.page(change_url(tenant))
    assert operation_url(tenant, "suspend") in html
    assert operation_url(tenant, "reactivate") not in html
    tenant_suspend(tenant, reason="unpaid")
    html = operator.page(change_url(tenant))
    assert operation_url(tenant, "suspend") not in html
    assert operation_url(tenant, "reactivate") in html


def test_several_tenants_are_suspended_at_once(operator: Person, tenant: Tenant) -> None:
    """The list's action asks for one reason, then suspends just those that were chosen."""
    others = [tenant_create(name=name, tier="free") for name in ("b", "c")]
    chosen: dict[str, Any] = {
        "action": "suspend_selected",
        "index": "0",
        ACTION_CHECKBOX_NAME: [str(tenant.pk), str(others[0].pk)],
    }
    asked = operator.client.post(list_url(Tenant), chosen)
    assert asked.status_code == 200
    assert b"Suspend 2 tenants?" in asked.content
    assert Tenant.objects.filter(status="suspended").count() == 0
    operator.client.post(list_url(Tenant), {**chosen, "confirmed": "1", "reason": "abuse"})
    assert set(Tenant.objects.filter(status="suspended").values_list("name", flat=True)) == {"acme", "b"}
    assert logged(others[0]) == ["Suspended: status active → suspended, reason 'abuse'"]
    reactivated = {**chosen, "action": "reactivate_selected", "confirmed": "1"}
    operator.client.post(list_url(Tenant), reactivated)
    assert Tenant.objects.filter(status="suspended").count() == 0


def test_a_tenant_with_a_history_is_not_deleted(operator: Person, tenant: Tenant, failed: Workflow) -> None:
    """The page says why and what to do instead, and so does a forged POST."""
    url = reverse("admin:tenants_tenant_delete", args=[tenant.pk])
    assert "has a history (there are" in operator.page(url)
    response = operator.post(url, post="yes")
    assert b"Suspend it instead." in response.content
    assert Tenant.objects.filter(pk=tenant.pk).exists()


def test_a_tenant_without_a_history_is_deleted_with_its_things(operator: Person, tenant: Tenant) -> None:
    """After a page that counts them."""
    api_key_issue(name="one", tenant=tenant)
    document_create(tenant=tenant, title="Doc", content="text")
    url = reverse("admin:tenants_tenant_delete", args=[tenant.pk])
    html = operator.page(url)
    assert "API keys: 1" in html
    assert "Documents: 1" in html
    assert operator.post(url, post="yes").status_code == 302
    assert not Tenant.objects.filter(pk=tenant.pk).exists()


def test_a_hostile_name_is_shown_as_text(operator: Person) -> None:
    """In lists, on pages, in messages and in the log."""
    tenant = tenant_create(name=HOSTILE, tier="free")
    operator.confirm(operation_url(tenant, "suspend"), reason=HOSTILE)
    for url in (
        list_url(Tenant),
        change_url(tenant),
        operation_url(tenant, "reactivate"),
        reverse("admin:index"),
        reverse("admin:admin_logentry_changelist"),
        reverse("admin:tenants_tenant_history", args=[tenant.pk]),
    ):
        assert HOSTILE not in operator.page(url), url


def test_a_tier_is_changed_within_sense(operator: Person) -> None:
    """Weights and limits are at least one, and its pool is one that workers serve."""
    tier = TenantTier.objects.get(pk="free")
    good = {
        "pool": "shared",
        "weight": "2",
        "max_concurrent_steps": "7",
        "requests_per_minute": "60",
        "steps_per_minute": "60",
        "tokens_per_minute": "30000",
        "session_retention_days": "30",
    }
    for bad in (
        {"weight": "0"},
        {"weight": "-1"},
        {"weight": "1000000"},
        {"max_concurrent_steps": "0"},
        {"pool": "nobody"},
        {"weight": "many"},
        {"requests_per_minute": "0"},
        {"steps_per_minute": "-1"},
        {"tokens_per_minute": ""},
        {"tokens_per_minute": "99999999999"},
        {"session_retention_days": "0"},
        {"session_retention_days": "4000"},
    ):
        assert operator.post(change_url(tier), **{**good, **bad}).status_code == 200, bad
    tier.refresh_from_db()
    assert tier.weight == 1
    assert operator.post(change_url(tier), **good).status_code == 302
    tier.refresh_from_db()
    assert (tier.weight, tier.max_concurrent_steps) == (2, 7)
    assert logged(tier) == [
        "Changed: tokens_per_minute 20000 → 30000, max_concurrent_steps 5 → 7, weight 1 → 2"
    ]


def test_a_tenant_has_limits_of_its_own(operator: Person, tenant: Tenant) -> None:
    """Within sense, logged, and taken back by leaving the field empty."""
    for bad in ({"weight": "0"}, {"steps_per_minute": "-5"}, {"tokens_per_minute": "9999999999"}):
        assert operator.post(change_url(tenant), name="acme", tier="standard", **bad).status_code == 200, bad
    assert "Leave it empty for what the tier grants (600)." in operator.page(change_url(tenant))
    operator.post(change_url(tenant), name="acme", tier="standard", steps_per_minute="30", weight="9")
    tenant.refresh_from_db()
    assert (tenant.limit("steps_per_minute"), tenant.limit("weight")) == (30, 9)
    assert tenant.limit("requests_per_minute") == 600
    operator.post(change_url(tenant), name="acme", tier="standard", weight="9")
    tenant.refresh_from_db()
    assert tenant.limit("steps_per_minute") == 600
    assert logged(tenant) == [
        "Changed: steps_per_minute None → 30, weight None → 9",
        "Changed: steps_per_minute 30 → None",
    ]


def test_a_new_tier_has_its_pool_in_every_queue(operator: Person) -> None:
    """So that its share of each can be set."""
    fields = {name: str(value) for name, value in TIERS["standard"].items()}
    response = operator.post(
        reverse("admin:tenants_tenanttier_add"),
        name="gold",
        pool="shared",
        **fields,
    )
    assert response.status_code == 302
    queues = QueuePool.objects.filter(tier="gold").values_list("queue_id", flat=True)
    assert set(queues) == {"interactive", "standard", "batch"}


def test_the_pools_of_tiers_are_those_of_the_workers() -> None:
    """A tier can only be given to workers that there are."""
    assert set(POOLS) == {"shared", *CELERY_POOLS}


def test_a_tier_with_tenants_stays(operator: Person, tenant: Tenant) -> None:
    """Deleting it is refused."""
    response = operator.post(reverse("admin:tenants_tenanttier_delete", args=["standard"]), post="yes")
    assert response.status_code == 200
    assert TenantTier.objects.filter(pk="standard").exists()
