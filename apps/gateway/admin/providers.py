"""Providers: where models are called, where their keys are found, what they take a minute; and whether they answer."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import action, display

from apps.console.display import NOTHING, code, label, seconds
from apps.console.operations import Operation, is_confirmed, operation_page
from apps.console.pages import ConsoleAdmin
from apps.gateway.admin.forms import RATES, ProviderForm, ProviderRateForm
from apps.gateway.admin.tiers import warn_of_unserved_tiers
from apps.gateway.models import ModelTier, Provider, ProviderRate
from apps.gateway.provider_checks import provider_check
from apps.gateway.selectors import secret_at

CHECKING = (
    "It is asked to count the tokens of one word, which is free. Bedrock does not count: it is asked for one token, "
    "which costs some millionths of a dollar and is in no tenant's ledger. The settings are those that are saved."
)


class ProviderRateInline(TabularInline):
    """Limits are learned from its answers too; the lower one holds."""

    model = ProviderRate
    form = ProviderRateForm
    fields = ("family", *RATES)
    verbose_name = "rate"
    verbose_name_plural = "Rates: what it takes of a family of models in a minute"
    extra = 0


@admin.register(Provider)
class ProviderAdmin(ConsoleAdmin):
    """Its name is its key: calls, circuits and rates are known by it. Its secret is never stored nor shown."""

    form = ProviderForm
    list_display = (
        "name",
        "kind",
        "is_enabled",
        "address",
        "secret_source",
        "region",
        "serves",
        "takes_batches",
    )
    list_filter = (("is_enabled", BooleanRadioFilter),)
    search_fields = ("name",)
    ordering = ("name",)
    fields = (
        "name",
        "kind",
        "base_url",
        "secret",
        "secret_state",
        "region",
        "project",
        "is_enabled",
        "takes_batches",
    )
    inlines = (ProviderRateInline,)
    actions_detail = ("ask",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("name", "secret_state") if obj else ("secret_state",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else tuple(name for name in self.fields if name != "secret_state")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("tiers")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        warn_of_unserved_tiers(request, ModelTier.objects.filter(providers=form.instance))

    @display(description="base URL")
    def address(self, provider: Provider) -> str:
        return provider.base_url or "the usual one"

    @display(description="secret")
    def secret_source(self, provider: Provider) -> str:
        return secret_label(provider)

    @display(description="secret found")
    def secret_state(self, provider: Provider) -> str:
        return secret_label(provider)

    @display(description="tiers")
    def serves(self, provider: Provider) -> str:
        return ", ".join(tier.tier for tier in provider.tiers.all()) or NOTHING

    # --- Asking it -----------------------------------------------------------------------------------------

    def has_check_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "check_provider")

    @action(description="Test", url_path="ask", permissions=["check"], icon="network_check")
    def ask(self, request: HttpRequest, object_id: str) -> HttpResponse:
        provider = self.find(request, object_id)
        if not is_confirmed(request):
            operation = Operation(f"Test {provider}?", CHECKING, "Test", self.detail_url(provider))
            return operation_page(self, request, operation)
        result = provider_check(provider)
        took = seconds(result.took_seconds)
        if result.answered:
            messages.success(request, f"{provider} answers, after {took}. {result.message}")
        else:
            messages.error(request, f"{provider} does not answer, after {took}. {result.message}")
        outcome = "answered" if result.answered else result.message.partition(":")[0]
        self.record(request, provider, f"Tested: {outcome}")
        return HttpResponseRedirect(self.detail_url(provider))


def secret_label(provider: Provider) -> str:
    """Where a provider's secret is, and whether the web process finds it there; workers look for themselves."""
    if not provider.secret:
        return NOTHING
    is_there = bool(secret_at(provider.secret))
    state = label("is there", "success") if is_there else label("is not there", "danger")
    return format_html("{} {}", code(provider.secret), state)
