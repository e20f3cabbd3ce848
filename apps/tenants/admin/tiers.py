"""Tiers: what a class of tenants is entitled to."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from apps.console.pages import ConsoleAdmin
from apps.tenants.admin.forms import check_limits
from apps.tenants.models import LIMITS, TenantTier
from apps.tenants.services import POOLS


class TierForm(forms.ModelForm):
    pool = forms.ChoiceField(
        choices=[(pool, pool) for pool in POOLS],
        widget=UnfoldAdminSelectWidget(choices=[(pool, pool) for pool in POOLS]),
        help_text="Which workers run its steps: the shared ones, or those kept for a pool.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        check_limits(self, cleaned)
        return cleaned


@admin.register(TenantTier)
class TenantTierAdmin(ConsoleAdmin):
    """The name of a tier is its key, so it stays as it was made."""

    form = TierForm
    list_display = ("name", "pool", *LIMITS, "tenant_count")
    fields = ("name", "pool", *LIMITS, "max_model_tier")
    search_fields = ("name",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("name",) if obj else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[TenantTier]:
        return super().get_queryset(request).annotate(tenant_count=Count("tenants"))

    @display(description="tenants", ordering="tenant_count")
    def tenant_count(self, tier: Any) -> int:
        return int(tier.tenant_count)
