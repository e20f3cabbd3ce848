"""What a run was given from the cache, what it left there, and purging that."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.decorators import action

from apps.console.display import NOTHING, label, link, seconds
from apps.console.operations import Operation, is_confirmed, operation_page
from apps.console.pages import ConsoleAdmin
from apps.console.tables import Table
from apps.gateway.models import CacheEntry
from apps.workflows.admin.cached_answers import PURGING, purge_and_tell
from apps.workflows.cached_results import cache_purge
from apps.workflows.models import Step, Workflow
from apps.workflows.selectors import calls_of

SHOWN_HITS = 50
PURGE_PATH = "purge-cache"
HEADERS = ("what", "layer", "similarity", "probability", "age", "bought for")


def cache_table(workflow: Workflow) -> Table:
    """Its result, or those of its calls, that were answered from the cache; and what others may be answered from it."""
    rows = [] if workflow.cache is None else [["the whole result", *_hit_cells(workflow.cache)]]
    hits = (
        calls_of(workflow).filter(cache__isnull=False).only("step_id", "ordinal", "cache")[: SHOWN_HITS + 1]
    )
    calls = list(hits)
    steps = Step.objects.filter(pk__in={call.step_id for call in calls}).only("node", "index").in_bulk()
    for call in calls[:SHOWN_HITS]:
        step = steps.get(call.step_id)
        name = f"{step.key if step else call.step_id} #{call.ordinal}"
        rows.append([link(name, "gateway_call_change", call.pk), *_hit_cells(call.cache or {})])
    return Table("From the cache", HEADERS, rows, _note(workflow, len(calls)))


def _note(workflow: Workflow, hits: int) -> str:
    kept = CacheEntry.objects.filter(source_workflow_id=workflow.pk).count()
    left = [f"{kept:,} answers"] if kept else []
    if workflow.cache_key is not None and workflow.status == "succeeded":
        left.append("its whole result")
    cut = f"The first {SHOWN_HITS} hits. " if hits > SHOWN_HITS else ""
    if not left:
        return cut + "It has left nothing in the cache."
    return f"{cut}It has left in the cache: {' and '.join(left)}."


def _hit_cells(cache: dict[str, Any]) -> list[Any]:
    source = str(cache.get("source_workflow_id") or "")
    return [
        label(str(cache.get("layer", ""))),
        _number(cache.get("similarity")),
        _number(cache.get("probability")),
        seconds(cache.get("age_seconds")),
        link(source[:18] + "…", "workflows_workflow_change", source) if source else NOTHING,
    ]


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


class CachePurgingAdmin(ConsoleAdmin):
    """The button that takes back all that a run has left in the cache."""

    def has_purge_cache_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("gateway.purge_cacheentry")

    @action(
        description="Purge cache",
        url_path=PURGE_PATH,
        permissions=["purge_cache"],
        icon="delete_sweep",
    )
    def purge_cache(self, request: HttpRequest, object_id: str) -> HttpResponse:
        workflow = self.find(request, object_id)
        back = self.detail_url(workflow)
        if is_confirmed(request):
            purge_and_tell(
                request,
                lambda message: self.record(request, workflow, message),
                lambda actor: cache_purge(actor=actor, workflow_id=workflow.pk),
            )
            return HttpResponseRedirect(back)
        operation = Operation(
            "Purge what this run left in the cache?",
            f"{PURGING} Runs that were answered from it are purged with it.",
            "Purge",
            back,
            None,
            [f"{workflow.pk}, {workflow.definition.type} of {workflow.tenant.name}"],
            is_dangerous=True,
        )
        return operation_page(self, request, operation)
