"""Plans of capacity: asked for on a form, shown once they have been worked out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from agentplatform.capacity.question import USUAL_DAYS, USUAL_GROWTHS, USUAL_USERS, Question
from agentplatform.capacity.what_if import WhatIf, WhatIfError
from apps.console.display import NOTHING, status_label
from apps.console.pages import ConsoleAdmin
from apps.console.spreadsheets import csv_response
from apps.console.tables import Table
from apps.insights.capacity import TooManyPlans, capacity_plan_ask
from apps.insights.capacity_panels import plan_panels
from apps.insights.models import CapacityPlan

KINDS = {"asked": "info", "running": "info", "ready": "success", "failed": "danger"}


def _text(help_text: str, initial: str = "", *, required: bool = False) -> forms.CharField:
    return forms.CharField(
        required=required,
        initial=initial,
        max_length=500,
        widget=UnfoldAdminTextInputWidget(),
        help_text=help_text,
    )


class CapacityPlanForm(forms.ModelForm):
    """What is planned for, and what would be otherwise."""

    growths = _text("Factors, such as: 1 3 10", " ".join(f"{one:g}" for one in USUAL_GROWTHS))
    users = _text("Numbers of users, such as: 10000 1000000", str(USUAL_USERS))
    days = forms.IntegerField(
        initial=USUAL_DAYS,
        min_value=1,
        max_value=90,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Of how many days profiles are read.",
    )
    same_tenants = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanWidget(),
        help_text="Growth comes from the tenants that there are, not from more of them.",
    )
    cache_share = _text("What if this share of answers came from caches, such as: 0.4")
    mix = _text("What if these were the shares of types, such as: answer_question=0.6 research_report=0.1")
    tier_shares = _text("What if these were the shares of tiers, such as: fast=0.7 balanced=0.2 powerful=0.1")
    max_complexity = _text("What if these were the thresholds of tiers, such as: fast=0.5")
    target_seconds = _text("How long 95% of steps should wait at most, such as: interactive=2")

    class Meta:
        model = CapacityPlan
        fields: tuple[str, ...] = ()

    def clean(self) -> Any:
        cleaned = super().clean() or self.cleaned_data
        try:
            self.question = Question(
                _numbers(cleaned.get("growths", "")),
                _numbers(cleaned.get("users", "")),
                cleaned.get("days") or USUAL_DAYS,
                same_tenants=cleaned.get("same_tenants", False),
                what_if=WhatIf(
                    _named(cleaned.get("mix", "")),
                    next(iter(_numbers(cleaned.get("cache_share", ""))), None),
                    _named(cleaned.get("tier_shares", "")),
                ),
                max_complexity=_named(cleaned.get("max_complexity", "")),
                target_seconds=_named(cleaned.get("target_seconds", "")),
            )
        except WhatIfError as error:
            field = getattr(error, "field", None)
            self.add_error(field if field in self.fields else None, str(error))
        except ValueError as error:
            self.add_error(None, str(error))
        return cleaned


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise ValueError(f"'{text}' is to be numbers with spaces between them.") from None


def _named(text: str) -> dict[str, float]:
    try:
        pairs = [word.split("=") for word in text.split()]
        return {name: float(value) for name, value in pairs}
    except ValueError:
        raise ValueError(f"'{text}' is to be like: name=0.5 other=0.2") from None


@admin.register(CapacityPlan)
class CapacityPlanAdmin(ConsoleAdmin):
    """A plan is asked for, and then only read."""

    form = CapacityPlanForm
    list_display = ("created_at", "state", "asked_for", "asked_by", "finished_at")
    list_select_related = ("asked_by",)
    list_defers = ("result",)
    sortable_by = ()
    id_fields = ("pk",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return list(CapacityPlanForm.base_fields)
        return ("state", "asked_for", "what_if", "error", "asked_by", "created_at", "finished_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else self.get_fields(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view(self.export)
        own = path("<uuid:object_id>/export/<slug:key>/", guarded, name="insights_capacityplan_export")
        return [own, *super().get_urls()]

    def export(self, request: HttpRequest, object_id: Any, key: str) -> HttpResponseBase:
        """A table of a plan as CSV."""
        plan = self.find(request, str(object_id))
        panel = (
            next((one for one in plan_panels(plan.result) if one.key == key), None) if plan.result else None
        )
        if panel is None:
            raise Http404
        return csv_response(request, f"capacity-{key}", panel.csv_headers, panel.csv_rows())

    def detail_tables(self, request: HttpRequest, obj: Any) -> Sequence[Table]:
        return [panel.table for panel in plan_panels(obj.result)] if obj.result else []

    def save_model(self, request: HttpRequest, obj: CapacityPlan, form: Any, change: bool) -> None:
        made = capacity_plan_ask(form.question, user_id=request.user.pk)
        obj.pk = made.pk
        obj.refresh_from_db()

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except TooManyPlans as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(self.list_url)

    def response_add(
        self, request: HttpRequest, obj: CapacityPlan, post_url_continue: Any = None
    ) -> HttpResponse:
        messages.success(request, "The plan is being worked out: look again in a minute.")
        return HttpResponseRedirect(self.detail_url(obj))

    @display(description="state")
    def state(self, plan: CapacityPlan) -> str:
        return status_label(plan.status, KINDS)

    @display(description="for")
    def asked_for(self, plan: CapacityPlan) -> str:
        growths = [f"{one:,.4g}×" for one in plan.asked["growths"]]
        return ", ".join([*growths, *(f"{one:,.0f} users" for one in plan.asked["users"])])

    @display(description="what if")
    def what_if(self, plan: CapacityPlan) -> str:
        told = {
            name: plan.asked.get(name) for name in ("mix", "cache_share", "tier_shares", "max_complexity")
        }
        return (
            ", ".join(f"{name} {value}" for name, value in told.items() if value not in (None, {})) or NOTHING
        )
