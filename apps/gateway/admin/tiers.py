"""Model tiers: which model stands for each, up to which complexity, and who serves it in which order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display

from apps.console.display import label
from apps.console.pages import ConsoleAdmin
from apps.gateway.admin.forms import ModelTierForm, TierProviderFormSet
from apps.gateway.models import ModelTier, TierProvider


class TierProviderInline(TabularInline):
    """The providers of a tier, in the order in which they are tried."""

    model = TierProvider
    formset = TierProviderFormSet
    fields = ("position", "provider", "model_name")
    ordering = ("position", "id")
    verbose_name = "provider"
    verbose_name_plural = "Providers, the first one that may be called is sent a call"
    extra = 0


@admin.register(ModelTier)
class ModelTierAdmin(ConsoleAdmin):
    """There are three tiers, for which definitions ask by name: none is added or deleted. Changes hold within 5 s."""

    form = ModelTierForm
    list_display = (
        "tier",
        "model",
        "max_complexity",
        "served_by",
        "uses",
        "context_window_tokens",
        "max_output_tokens",
        "min_cache_tokens",
    )
    fields = (
        "tier",
        "model",
        "max_complexity",
        "use_cases",
        "context_window_tokens",
        "max_output_tokens",
        "min_cache_tokens",
    )
    readonly_fields = ("tier",)
    inlines = (TierProviderInline,)
    ordering = ("max_complexity",)
    sortable_by = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelTier]:
        return super().get_queryset(request).prefetch_related("targets__provider")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        warn_of_unserved_tiers(request, [form.instance])

    @display(description="providers, in order")
    def served_by(self, tier: ModelTier) -> str:
        names = [
            target.provider_id if target.provider.is_enabled else f"({target.provider_id}, disabled)"
            for target in tier.targets.all()
        ]
        if not is_served(tier):
            return label(", ".join(names) or "nobody", "danger")
        return ", ".join(names)

    @display(description="use cases")
    def uses(self, tier: ModelTier) -> str:
        return ", ".join(tier.use_cases) or "–"


def is_served(tier: ModelTier) -> bool:
    """Whether a provider of the tier is enabled."""
    return any(target.provider.is_enabled for target in tier.targets.all())


def warn_of_unserved_tiers(request: HttpRequest, tiers: Iterable[ModelTier]) -> None:
    """Says which of the tiers have nobody who serves them now, and what comes of that."""
    keys = [tier.pk for tier in tiers]
    for tier in ModelTier.objects.filter(pk__in=keys).prefetch_related("targets__provider"):
        if not is_served(tier):
            messages.warning(
                request,
                f"No enabled provider serves {tier}: its calls go to the next tier that is served, and fail if none is.",
            )
