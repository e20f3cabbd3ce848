"""The tables of caching: where answers come from, what that avoids, and how far it is trusted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone
from redis import RedisError

from agentplatform.budgets.season import day_start
from apps.budgets.answer_selectors import LAYERS, NONE, Answers, answers_by, answers_in
from apps.context_cache import context_cache_counts
from apps.gateway.cache_scopes import cache_scopes, error_of, state_of
from apps.gateway.cache_selectors import trust_in
from apps.gateway.models import CacheScope
from apps.insights.cost_panels import LEDGER, costs_url
from apps.insights.costs import Cached
from apps.insights.panels import Column, Form, Panel, Source

DAYS = 7
LAYER_NAMES = {
    "exact": "same words",
    "semantic": "same meaning",
    "in_flight": "asked at the same time",
    "workflow": "whole results",
}
LAYERS_NOTE = "Shares are of all answers, bought or not; a whole result counts as one. Avoided is what they would have cost anew."
SCOPES_SHOWN = 200


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """Where answers came from: today, over DAYS with today, and over those by task type."""

    today: Answers
    week: Answers
    task_types: Sequence[Answers]


@Cached
def cache_figures() -> CacheFigures:
    """Of all tenants."""
    now = timezone.now()
    today = day_start(now)
    since = today - timedelta(days=DAYS - 1)
    return CacheFigures(answers_in(today, now), answers_in(since, now), answers_by(["task_type"], since, now))


def layers_panel() -> Panel:
    """The share of answers that each layer gave, today and over the week."""
    found = cache_figures()
    columns = [
        Column("layer"),
        Column("hits today", Form.NUMBER),
        Column("share today", Form.SHARE),
        Column("avoided today", Form.MONEY),
        Column(f"hits, {DAYS} days", Form.NUMBER),
        Column(f"share, {DAYS} days", Form.SHARE),
        Column(f"avoided, {DAYS} days", Form.MONEY),
        Column(f"tokens served, {DAYS} days", Form.NUMBER),
    ]
    rows: list[Sequence[Any]] = [
        ("all layers", *_all_cells(found.today), *_all_cells(found.week), found.week.served_tokens)
    ]
    for layer in LAYERS:
        tokens = found.week.layers.get(layer, NONE).served_tokens
        cells = (*_layer_cells(found.today, layer), *_layer_cells(found.week, layer))
        rows.append((LAYER_NAMES[layer], *cells, tokens))
    return Panel("cache", "Cache", columns, rows, note=LAYERS_NOTE)


def period_panel(since: datetime, until: datetime, **filters: Any) -> Panel:
    """The same of one period, for the page of costs."""
    found = answers_in(since, until, **filters)
    columns = [
        Column("layer"),
        Column("hits", Form.NUMBER),
        Column("share", Form.SHARE),
        Column("tokens served", Form.NUMBER),
        Column("avoided", Form.MONEY),
    ]
    rows: list[Sequence[Any]] = [
        ("all layers", found.hits, found.hit_share, found.served_tokens, found.avoided_usd_micros)
    ]
    for layer in LAYERS:
        hits, share, avoided = _layer_cells(found, layer)
        rows.append((LAYER_NAMES[layer], hits, share, found.layers.get(layer, NONE).served_tokens, avoided))
    return Panel("cache", "From the cache", columns, rows, note=LAYERS_NOTE)


def _all_cells(found: Answers) -> tuple[int, float | None, int]:
    return found.hits, found.hit_share, found.avoided_usd_micros


def _layer_cells(found: Answers, layer: str) -> tuple[int, float | None, int]:
    one = found.layers.get(layer, NONE)
    return one.hits, found.share_of(one.hits), one.avoided_usd_micros


def cached_types_panel() -> Panel:
    """The task types that are answered from the cache most often."""
    columns = [
        Column("task type"),
        Column("answers", Form.NUMBER),
        Column("hits", Form.NUMBER),
        Column("share", Form.SHARE),
        Column("avoided", Form.MONEY),
    ]
    found = [one for one in cache_figures().task_types if one.hits]
    rows = [(one.key[0], one.answers, one.hits, one.hit_share, one.avoided_usd_micros) for one in found]
    links = [costs_url(task_type=one.key[0], days=str(DAYS)) for one in found]
    return Panel("cached_types", f"Cache by task type, {DAYS} days", columns, rows, links)


def context_panel() -> Panel:
    """How often expensive intermediates were found, by kind."""
    columns = [
        Column("kind"),
        Column("found", Form.NUMBER),
        Column("made", Form.NUMBER),
        Column("share found", Form.SHARE),
    ]
    title = "Context cache, 24 hours"
    try:
        counts = context_cache_counts()
    except RedisError:
        return Panel("context_cache", title, columns, (), note="The cache server does not answer.")
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for count in counts:
        found[count.kind][0] += count.hits
        found[count.kind][1] += count.made
    rows = [
        (kind, hits, made, hits / (hits + made) if hits + made else None)
        for kind, (hits, made) in sorted(found.items(), key=lambda item: -sum(item[1]))
    ]
    return Panel("context_cache", title, columns, rows)


def scopes_panel() -> Panel:
    """How far answers by meaning are trusted: where they have switched themselves off, first."""
    columns = [
        Column("use case"),
        Column("tenant"),
        Column("state", Form.STATUS),
        Column("threshold"),
        Column("checked", Form.NUMBER),
        Column("wrong", Form.NUMBER),
        Column("error", Form.SHARE),
        Column("at least", Form.SHARE),
        Column("at most", Form.SHARE),
        Column("bound", Form.SHARE),
        Column("why off"),
    ]
    found = list(cache_scopes()[:SCOPES_SHOWN])
    links = [reverse("admin:gateway_cachescope_change", args=[scope.pk]) for scope in found]
    note = (
        "Of what was checked live, or complained of; at least and at most are the ends of the 95% interval."
    )
    return Panel(
        "cache_scopes", "Answers by meaning", columns, [_scope_row(one) for one in found], links, note
    )


def _scope_row(scope: CacheScope) -> tuple[Any, ...]:
    error = error_of(scope)
    return (
        scope.use_case,
        scope.tenant.name,
        state_of(scope),
        f"{trust_in(scope).threshold:.3f}",
        scope.checked,
        scope.wrong,
        *((error.rate, error.low, error.high) if error else (None, None, None)),
        scope.error_bound,
        scope.switched_off_because or None,
    )


def cache_sources() -> list[Source]:
    """The tables of caching, in the order of the page."""
    return [
        Source("cache", LEDGER, layers_panel),
        Source("cached_types", LEDGER, cached_types_panel),
        Source("context_cache", ("gateway.view_cacheentry",), context_panel),
        Source("cache_scopes", ("gateway.view_cachescope",), scopes_panel),
    ]
