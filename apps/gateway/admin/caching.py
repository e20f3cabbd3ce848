"""How far answers by meaning are trusted, to see and to set; and the checks that say how far they may be."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    FieldTextFilter,
)
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from agentplatform.llm.caching.verifying import DEFAULT_THRESHOLD, FLOOR_THRESHOLD
from agentplatform.llm.caching.watching import ErrorEstimate
from apps.console.display import NOTHING, json_block, label, link, status_label
from apps.console.filters import DayFilter
from apps.console.operations import Operation, is_confirmed, operation_page, selection
from apps.console.pages import ConsoleAdmin, ReadOnlyAdmin
from apps.console.reading import SaidInRunsAdmin
from apps.gateway.cache_check_services import scope_switch_on
from apps.gateway.cache_scopes import error_of, state_of
from apps.gateway.cache_selectors import trust_in
from apps.gateway.models import CacheCheck, CacheScope

STATES = {"on": "success", "off": "", "switched itself off": "danger"}
VERDICTS = {
    "pending": "info",
    "asked": "info",
    "agreed": "success",
    "differed": "danger",
    "failed": "warning",
}
MAX_ERROR_BOUND = 0.5
SWITCHING_ON = (
    "Questions are answered by meaning again at once, within seconds in every process. What was counted so far is set "
    "aside: whether it stays on is for new checks to say."
)


def percent(share: float) -> str:
    """A share between 0 and 1, as people write it."""
    return f"{share:.2%}"


def estimate_words(error: ErrorEstimate | None) -> str:
    """The share of wrong answers as it is estimated, with its interval."""
    return (
        NOTHING if error is None else f"{percent(error.rate)} ({percent(error.low)} to {percent(error.high)})"
    )


class CacheScopeForm(forms.ModelForm):
    """Refuses what would let anything be served, and what would switch off at the first mistake."""

    def clean_pinned_threshold(self) -> float | None:
        pinned: float | None = self.cleaned_data["pinned_threshold"]
        if pinned is not None and not FLOOR_THRESHOLD <= pinned <= 1:
            raise ValidationError(
                f"Choose a probability from {FLOOR_THRESHOLD:g}, below which nothing is served, to 1; or leave it empty."
            )
        return pinned

    def clean_error_bound(self) -> float:
        bound = float(self.cleaned_data["error_bound"])
        if not 0 < bound <= MAX_ERROR_BOUND:
            raise ValidationError(
                f"Choose a share above 0 and up to {MAX_ERROR_BOUND:g}; 0.01 is one in a hundred."
            )
        return bound

    def clean_checked_share(self) -> float:
        share = float(self.cleaned_data["checked_share"])
        if not 0 <= share <= 1:
            raise ValidationError("Choose a share from 0 to 1; 0.05 is one in twenty.")
        return share

    class Meta:
        help_texts = {
            "use_case": "The step, as definition.step, such as answer_question.answer.",
            "is_enabled": "Whether questions are answered by meaning. The same words are answered from the cache anyway.",
            "pinned_threshold": "The least probability at which an answer is served, in place of the one that is "
            f"learned: {FLOOR_THRESHOLD:g} to 1. Empty to learn it, from {DEFAULT_THRESHOLD:g} on.",
            "error_bound": "The share of wrong answers that is put up with; surely above it, it switches itself off.",
            "checked_share": "The share of hits that is also answered live and compared. Each check costs a call.",
        }


class ScopeStateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state) for state in STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CacheScope]) -> QuerySet[CacheScope]:
        match self.value():
            case "on":
                return queryset.filter(is_enabled=True, switched_off_at=None)
            case "off":
                return queryset.filter(is_enabled=False)
            case "switched itself off":
                return queryset.filter(is_enabled=True, switched_off_at__isnull=False)
        return queryset


@admin.register(CacheScope)
class CacheScopeAdmin(ConsoleAdmin):
    """One row for each use case of a tenant that was checked or set; all others have the defaults."""

    form = CacheScopeForm
    list_display = (
        "use_case",
        "tenant",
        "state",
        "in_force",
        "checked",
        "wrong",
        "estimated_error",
        "bound",
    )
    list_filter = (
        ScopeStateFilter,
        ("tenant", AutocompleteSelectFilter),
        ("use_case", FieldTextFilter),
    )
    list_select_related = ("tenant",)
    search_fields = ("use_case", "tenant__name")
    autocomplete_fields = ("tenant",)
    ordering = ("tenant__name", "use_case")
    fieldsets = (
        (None, {"fields": ("tenant", "use_case", "state", "switched_off_at", "switched_off_because")}),
        (
            "Settings",
            {"fields": ("is_enabled", "pinned_threshold", "error_bound", "checked_share")},
        ),
        (
            "Observed",
            {"fields": ("in_force", "checked", "wrong", "estimated_error", "elsewhere", "updated_at")},
        ),
    )
    actions = ("switch_on_selected",)
    actions_detail = ("switch_on",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new one has observed nothing."""
        if obj is not None:
            return self.fieldsets
        return ((None, {"fields": ("tenant", "use_case")}), self.fieldsets[1])

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = (
            "state",
            "in_force",
            "checked",
            "wrong",
            "estimated_error",
            "elsewhere",
            "switched_off_at",
            "switched_off_because",
            "updated_at",
        )
        return shown if obj is None else ("tenant", "use_case", *shown)

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        assert isinstance(obj, CacheScope)
        obj.updated_at = timezone.now()
        if change:
            # Only what the form has: what is learned meanwhile stays.
            obj.save(update_fields=[*form.changed_data, "updated_at"])
        else:
            super().save_model(request, obj, form, change)

    # --- Columns -------------------------------------------------------------------------------------------

    @display(description="answers by meaning")
    def state(self, scope: CacheScope) -> str:
        return status_label(state_of(scope), STATES)

    @display(description="threshold in force")
    def in_force(self, scope: CacheScope) -> str:
        threshold = f"{trust_in(scope).threshold:.3f}"
        if scope.pinned_threshold is not None:
            return format_html("{} {}", threshold, label("pinned"))
        return threshold if scope.threshold is not None else f"{threshold} (default)"

    @display(description="estimated error, 95%")
    def estimated_error(self, scope: CacheScope) -> str:
        error = error_of(scope)
        words = estimate_words(error)
        if error is not None and error.low > scope.error_bound:
            return format_html("{} {}", words, label("above bound", "danger"))
        return words

    @display(description="bound", ordering="error_bound")
    def bound(self, scope: CacheScope) -> str:
        return percent(scope.error_bound)

    @display(description="see also")
    def elsewhere(self, scope: CacheScope) -> str:
        query = f"?tenant__id__exact={scope.tenant_id}&use_case={scope.use_case}"
        return format_html(
            '<a class="console-link" href="{}{}">its answers</a>, <a class="console-link" href="{}{}">its checks</a>',
            reverse("admin:gateway_cacheentry_changelist"),
            query,
            reverse("admin:gateway_cachecheck_changelist"),
            query,
        )

    # --- Switching on --------------------------------------------------------------------------------------

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_switch_on_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "change_cachescope")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only one that switched itself off has the button."""
        scope = self.get_object(request, str(object_id))
        allowed = super().get_actions_detail(request, object_id)
        return list(allowed) if scope is not None and scope.switched_off_at is not None else []

    @action(
        description="Switch on again",
        url_path="switch-on",
        permissions=["switch_on"],
        icon="power_settings_new",
        variant=ActionVariant.SUCCESS,
    )
    def switch_on(self, request: HttpRequest, object_id: str) -> HttpResponse:
        scope = self.find(request, object_id)
        return self._switch_on(request, [scope], self.detail_url(scope), [])

    @action(description="Switch on again", permissions=["switch_on"])
    def switch_on_selected(self, request: HttpRequest, queryset: QuerySet[CacheScope]) -> HttpResponse:
        return self._switch_on(request, list(queryset), self.list_url, selection(request, queryset))

    def _switch_on(
        self, request: HttpRequest, scopes: list[CacheScope], back: str, hidden: list[tuple[str, str]]
    ) -> HttpResponse:
        if not is_confirmed(request):
            shown = [_named(scope) for scope in scopes]
            operation = Operation(
                "Switch on again?", SWITCHING_ON, "Switch on again", back, None, shown, hidden
            )
            return operation_page(self, request, operation)
        for scope in scopes:
            if scope.switched_off_at is not None:
                scope_switch_on(scope)
                self.record(request, scope, f"Switched on again, after: {scope.switched_off_because}")
                messages.success(request, f"Switched on: {_named(scope)}.")
            else:
                messages.warning(request, f"It had not switched itself off: {_named(scope)}.")
        return HttpResponseRedirect(back)


def _named(scope: CacheScope) -> str:
    return f"{scope.use_case} of {scope.tenant.name}"


@admin.register(CacheCheck)
class CacheCheckAdmin(SaidInRunsAdmin, ReadOnlyAdmin):
    """Hits by meaning that were looked at, newest first: which held, and which were wrong."""

    said_fields = ("asked", "answer")

    list_display = (
        "created_at",
        "tenant",
        "use_case",
        "verdict",
        "source",
        "similar",
        "probable",
        "decided_at",
        "served_to",
        "answered_live",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("source", ChoicesDropdownFilter),
        ("tenant", AutocompleteSelectFilter),
        ("use_case", FieldTextFilter),
        ("decided_at", DayFilter),
    )
    list_select_related = ("tenant",)
    list_defers = ("request", "served")
    search_fields = ("id",)
    id_fields = ("pk", "workflow_id", "call_id", "entry_id", "check_workflow_id")
    searches_text = False
    search_help_text = "The id of a check, a workflow, a call or an entry"
    sortable_by = ()
    fields = (
        "id",
        "tenant",
        "use_case",
        "verdict",
        "source",
        "similar",
        "probable",
        "served_to",
        "call",
        "entry",
        "answered_live",
        "asked",
        "answer",
        "created_at",
        "decided_at",
    )

    @display(description="verdict")
    def verdict(self, check: CacheCheck) -> str:
        return status_label(check.status, VERDICTS)

    @display(description="similarity")
    def similar(self, check: CacheCheck) -> str:
        return f"{check.similarity:.3f}"

    @display(description="probability")
    def probable(self, check: CacheCheck) -> str:
        return f"{check.probability:.3f}"

    @display(description="served to")
    def served_to(self, check: CacheCheck) -> str:
        return link(str(check.workflow_id)[:13] + "…", "workflows_workflow_change", check.workflow_id)

    @display(description="answered live by")
    def answered_live(self, check: CacheCheck) -> str:
        run = check.check_workflow_id
        return NOTHING if run is None else link(str(run)[:13] + "…", "workflows_workflow_change", run)

    @display(description="call")
    def call(self, check: CacheCheck) -> str:
        return link(str(check.call_id), "gateway_call_change", check.call_id)

    @display(description="cache entry")
    def entry(self, check: CacheCheck) -> str:
        return link(str(check.entry_id), "gateway_cacheentry_change", check.entry_id)

    @display(description="what was asked")
    def asked(self, check: CacheCheck) -> str:
        return json_block(check.request)

    @display(description="what was served")
    def answer(self, check: CacheCheck) -> str:
        return json_block(check.served)
