"""Projections, the page of costs, and the downloads of the front page."""

from __future__ import annotations

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from unfold.decorators import display

from apps.console.display import about_dollars
from apps.console.pages import ReadOnlyAdmin
from apps.console.spreadsheets import csv_response
from apps.insights.costs_page import costs_page
from apps.insights.dashboard import may_see, sources
from apps.insights.models import BudgetForecast, Measure

admin.site.index_template = "insights/index.html"


@admin.register(BudgetForecast)
class BudgetForecastAdmin(ReadOnlyAdmin):
    """What present windows will have used at their end; without a budget, the whole platform's."""

    list_display = (
        "subject",
        "period",
        "used_so_far",
        "expected_at_end",
        "interval",
        "cap_of_budget",
        "runs_out_at",
    )
    list_filter = ("period", "measure")
    list_select_related = ("window__budget", "window__tenant")
    list_defers = ("season", "path")
    search_fields = ("window__budget__name",)
    ordering = ("-ends_at", "pk")
    sortable_by = ()
    fields = (
        "subject",
        "period",
        "measure",
        "starts_at",
        "ends_at",
        "used_so_far",
        "expected_at_end",
        "interval",
        "cap_of_budget",
        "runs_out_at",
        "history",
        "computed_at",
    )

    def get_urls(self) -> list[URLPattern]:
        guarded = self.admin_site.admin_view
        own = [
            path("costs/", guarded(self.costs), name="insights_budgetforecast_costs"),
            path("export/<slug:key>/", guarded(self.export), name="insights_budgetforecast_export"),
        ]
        return [*own, *super().get_urls()]

    def costs(self, request: HttpRequest) -> HttpResponseBase:
        """Costs by everything, of all tenants or of one."""
        return costs_page(self, request)

    def export(self, request: HttpRequest, key: str) -> HttpResponseBase:
        """A table of the front page as CSV, for who may see it there."""
        source = sources().get(key)
        if source is None:
            raise Http404
        if not may_see(request, source):
            raise PermissionDenied
        panel = source.build()
        return csv_response(request, key.replace("_", "-"), panel.csv_headers, panel.csv_rows())

    @display(description="budget")
    def subject(self, known: BudgetForecast) -> str:
        window = known.window
        if window is None:
            return "the whole platform"
        return f"{window.budget} ({window.tenant})" if window.tenant else str(window.budget)

    @display(description="used")
    def used_so_far(self, known: BudgetForecast) -> str:
        return _words(known, known.used)

    @display(description="expected")
    def expected_at_end(self, known: BudgetForecast) -> str:
        return _words(known, known.expected)

    @display(description="with 80%")
    def interval(self, known: BudgetForecast) -> str:
        low = f"{known.low:,}" if known.measure == Measure.TOKENS else _words(known, known.low)
        return f"{low} to {_words(known, known.high)}"

    @display(description="known of")
    def history(self, known: BudgetForecast) -> str:
        return f"{known.days_of_history:.1f} days"

    @display(description="cap")
    def cap_of_budget(self, known: BudgetForecast) -> str:
        return _words(known, known.cap)


def _words(known: BudgetForecast, amount: int | None) -> str:
    if amount is None or known.measure == Measure.USD_MICROS:
        return about_dollars(amount)
    return f"{amount:,} tokens"
