"""Kept answers: to look at, and to purge one by one, by use case, or a tenant's all.

It is here because a lower room knows nothing of the results of runs, which are purged with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from redis import RedisError
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter, FieldTextFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.console.display import between, code, dollars, json_block, label, link, moment, text_block
from apps.console.operations import Operation, confirmed_data, is_confirmed, operation_page, selection
from apps.console.pages import ReadOnlyAdmin
from apps.console.reading import SaidInRunsAdmin
from apps.gateway.models import CacheEntry
from apps.tenants.models import Tenant
from apps.workflows.cached_results import CachePurged, cache_purge
from apps.workflows.operations import Actor

PURGING = (
    "What is purged is never served again, nor are the results of runs that were made of it; the next request is "
    "bought. Runs that have ended keep what they were answered."
)
REDIS_AWAY = "The cache server does not answer: some of it may still be served. Purge again in a few seconds."


def purged_words(purged: CachePurged) -> str:
    """What a purge came to."""
    return f"Purged: {purged.answers:,} answers, and the results of {purged.results:,} runs."


def purge_and_tell(
    request: HttpRequest, record: Callable[[str], None], purge: Callable[[Actor], CachePurged]
) -> None:
    """Purges in the name of who is signed in, writes it to the log, and says what it came to."""
    try:
        purged = purge(Actor(user=request.user))  # type: ignore[arg-type]
    except RedisError:
        record("Purged from the cache, but the cache server did not answer")
        messages.error(request, REDIS_AWAY)
        return
    record(purged_words(purged))
    messages.success(request, purged_words(purged))


class PurgeForm(forms.Form):
    """Whose answers are purged, and why."""

    tenant = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget(), help_text="The tenant's name, as it is written."
    )
    use_case = forms.CharField(
        max_length=130,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="The step, as definition.step; empty for all that the tenant has in the cache.",
    )
    reason = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget(), help_text="For other operators and for the log."
    )

    def clean_tenant(self) -> Tenant:
        tenant = Tenant.objects.filter(name=self.cleaned_data["tenant"]).first()
        if tenant is None:
            raise forms.ValidationError("There is no tenant of this name.")
        return tenant


class ServesFilter(DropdownFilter):
    title = "serves"
    parameter_name = "serves"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("fresh", "now"), ("stale", "expired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CacheEntry]) -> QuerySet[CacheEntry]:
        match self.value():
            case "fresh":
                return queryset.filter(expires_at__gt=timezone.now())
            case "stale":
                return queryset.filter(expires_at__lte=timezone.now())
        return queryset


@admin.register(CacheEntry)
class CacheEntryAdmin(SaidInRunsAdmin, ReadOnlyAdmin):
    """Every kept answer, newest first. What was asked and answered is on the page of one alone."""

    run_field = "source_workflow_id"
    said_fields = ("question", "answer")

    list_display = ("short_id", "tenant", "use_case", "found_by", "worth", "source", "age", "expires")
    list_filter = (
        ("tenant", AutocompleteSelectFilter),
        ("use_case", FieldTextFilter),
        ServesFilter,
    )
    list_select_related = ("tenant",)
    list_defers = ("subject", "response")
    search_fields = ("id",)
    id_fields = ("pk", "source_workflow_id")
    searches_text = False
    search_help_text = "The id of an entry, or of the workflow that it was bought for"
    ordering = ("-id",)
    sortable_by = ()
    fields = (
        "id",
        "tenant",
        "use_case",
        "found_by",
        "worth",
        "source",
        "call",
        "age",
        "created_at",
        "expires",
        "key_hash",
        "scope_hash",
        "question",
        "answer",
    )
    actions = ("purge_selected",)
    actions_list = ("purge_many",)
    actions_detail = ("purge", "purge_use_case")

    @display(description="id")
    def short_id(self, entry: CacheEntry) -> str:
        return code(str(entry.pk)[:13] + "…")

    @display(description="found by")
    def found_by(self, entry: CacheEntry) -> str:
        return label("words or meaning", "info") if entry.scope_hash else label("words")

    @display(description="worth")
    def worth(self, entry: CacheEntry) -> str:
        return dollars(entry.worth_usd_micros)

    @display(description="bought for")
    def source(self, entry: CacheEntry) -> str:
        run = entry.source_workflow_id
        return link(str(run)[:13] + "…", "workflows_workflow_change", run)

    @display(description="call")
    def call(self, entry: CacheEntry) -> str:
        return link(str(entry.source_call_id), "gateway_call_change", entry.source_call_id)

    @display(description="age")
    def age(self, entry: CacheEntry) -> str:
        return between(entry.created_at, timezone.now())

    @display(description="expires")
    def expires(self, entry: CacheEntry) -> str:
        if entry.expires_at <= timezone.now():
            return label("expired", "warning")
        return moment(entry.expires_at)[:16]

    @display(description="question")
    def question(self, entry: CacheEntry) -> str:
        return text_block(entry.subject)

    @display(description="answer")
    def answer(self, entry: CacheEntry) -> str:
        return json_block(entry.response)

    # --- Purging -------------------------------------------------------------------------------------------

    def has_purge_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "purge_cacheentry")

    @action(
        description="Purge",
        url_path="purge",
        permissions=["purge"],
        icon="delete",
        variant=ActionVariant.DANGER,
    )
    def purge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        entry = self.find(request, object_id)
        back = self.list_url if is_confirmed(request) else self.detail_url(entry)
        return self._purge(request, [entry], back, [])

    @action(description="Purge its use case", url_path="purge-use-case", permissions=["purge"], icon="delete")
    def purge_use_case(self, request: HttpRequest, object_id: str) -> HttpResponse:
        entry = self.find(request, object_id)
        return self._purge_many(request, {"tenant": entry.tenant.name, "use_case": entry.use_case})

    @action(
        description="Purge many",
        url_path="purge-many",
        permissions=["purge"],
        icon="delete",
        variant=ActionVariant.DANGER,
    )
    def purge_many(self, request: HttpRequest) -> HttpResponse:
        return self._purge_many(request, {})

    @action(description="Purge", permissions=["purge"])
    def purge_selected(self, request: HttpRequest, queryset: QuerySet[CacheEntry]) -> HttpResponse:
        chosen = queryset.defer(*self.list_defers)
        return self._purge(request, list(chosen), request.get_full_path(), selection(request, queryset))

    def _purge(
        self, request: HttpRequest, entries: list[CacheEntry], back: str, hidden: list[tuple[str, str]]
    ) -> HttpResponse:
        if not is_confirmed(request):
            title = "Purge this answer?" if len(entries) == 1 else f"Purge {len(entries)} answers?"
            shown = [f"{entry} of {entry.tenant.name}" for entry in entries]
            operation = Operation(title, PURGING, "Purge", back, None, shown, hidden, is_dangerous=True)
            return operation_page(self, request, operation)
        ids = [entry.pk for entry in entries]

        def record(message: str) -> None:
            for entry in entries:
                self.record(request, entry, message)

        purge_and_tell(request, record, lambda actor: cache_purge(actor=actor, entry_ids=ids))
        return HttpResponseRedirect(back)

    def _purge_many(self, request: HttpRequest, initial: dict[str, str]) -> HttpResponse:
        form = PurgeForm(confirmed_data(request), initial=initial)
        if is_confirmed(request) and form.is_valid():
            asked = form.cleaned_data
            what = asked["use_case"] or "all use cases"

            def record(message: str) -> None:
                self.record(request, asked["tenant"], f"{message} Of {what}, reason '{asked['reason']}'")

            purge_and_tell(request, record, lambda actor: cache_purge(actor=actor, **asked))
            return HttpResponseRedirect(self.list_url)
        operation = Operation(
            "Purge the answers of a tenant?", PURGING, "Purge", self.list_url, form, is_dangerous=True
        )
        return operation_page(self, request, operation)
