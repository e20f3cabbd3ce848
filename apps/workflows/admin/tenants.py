"""Tenants with what they run and what they spend, and tiers with their pools in queues.

It is here because a lower room knows neither runs nor money nor queues.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from agentplatform.budgets.season import day_start
from apps.budgets.spend_selectors import spend_by
from apps.console.display import dollars
from apps.tenants.admin.tenants import TenantAdmin
from apps.tenants.admin.tiers import TenantTierAdmin
from apps.tenants.models import Tenant, TenantTier
from apps.workflows.definitions import pools_ensure
from apps.workflows.selectors import unfinished_counts

admin.site.unregister([Tenant, TenantTier])


@admin.register(TenantTier)
class TierWithPoolsAdmin(TenantTierAdmin):
    """A new tier gets its pool in every queue."""

    def save_model(
        self, request: HttpRequest, obj: TenantTier, form: forms.ModelForm[Any], change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        pools_ensure(obj)


@admin.register(Tenant)
class TenantOverviewAdmin(TenantAdmin):
    list_display = (
        "name",
        "tier",
        "state",
        "running",
        "spent_today",
        "spent_month",
        "status_reason",
        "created_at",
    )
    fields = (*TenantAdmin.fields, "running", "spent_today", "spent_month")
    readonly_fields = (*TenantAdmin.readonly_fields, "running", "spent_today", "spent_month")

    def complete_rows(self, rows: Sequence[Any]) -> None:
        ids = [tenant.pk for tenant in rows]
        running = unfinished_counts(ids)
        now = timezone.now()
        today = day_start(now)
        spent_today = _spent(ids, today, now)
        spent_month = _spent(ids, today.replace(day=1), now)
        for tenant in rows:
            tenant.running = running.get(tenant.pk, 0)
            tenant.today_usd_micros = spent_today.get(tenant.pk, 0)
            tenant.month_usd_micros = spent_month.get(tenant.pk, 0)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        tenant = super().get_object(request, object_id, from_field)
        if tenant is not None:
            self.complete_rows([tenant])
        return tenant

    @display(description="running workflows")
    def running(self, tenant: Any) -> str:
        url = reverse("admin:workflows_workflow_changelist")
        query = f"?tenant__id__exact={tenant.pk}&status=unfinished"
        return format_html('<a class="console-link" href="{}{}">{}</a>', url, query, f"{tenant.running:,}")

    @display(description="spent today")
    def spent_today(self, tenant: Any) -> str:
        return dollars(tenant.today_usd_micros)

    @display(description="spent this month")
    def spent_month(self, tenant: Any) -> str:
        return dollars(tenant.month_usd_micros)


def _spent(tenant_ids: list[uuid.UUID], since: datetime, until: datetime) -> dict[uuid.UUID, int]:
    """What each of these tenants has spent, in micro-dollars."""
    lines = spend_by(["tenant"], since, until, tenant=tenant_ids)
    return {line.key[0]: line.cost_usd_micros for line in lines}
