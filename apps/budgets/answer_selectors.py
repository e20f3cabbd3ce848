"""Reads of where answers came from: bought, or from which layer of the cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

COLUMNS = {"tenant": "tenant_id", "task_type": "task_type"}
"""By what answers may be grouped."""
LAYERS = ("exact", "semantic", "in_flight", "workflow")

# As for spend: what the last hour that was added up may lack is read from the ledger.
_ANSWERS = """
    SELECT {groups} cache_layer, sum(answers)::bigint, sum(served_tokens)::bigint, sum(avoided_usd_micros)::bigint
    FROM (
        SELECT tenant_id, task_type, cache_layer, answers, served_tokens, avoided_usd_micros
        FROM budgets_hourlyanswers
        WHERE hour >= %(since)s AND hour < %(until)s
          AND hour < coalesce((SELECT max(hour) FROM budgets_hourlyanswers), '-infinity') {filters}
        UNION ALL
        SELECT tenant_id, task_type, cache_layer, count(DISTINCT call_id), sum(served_tokens),
               coalesce(sum(avoided_usd_micros) FILTER (WHERE kind = 'cache_hit'), 0)
        FROM budgets_ledgerentry
        WHERE kind IN ('call', 'batch', 'cache_hit') AND outcome = 'settled' AND created_at < %(until)s
          AND created_at >= greatest(
            %(since)s, coalesce((SELECT max(hour) FROM budgets_hourlyanswers), '-infinity')) {filters}
        GROUP BY 1, 2, 3
    ) AS answered
    GROUP BY {groups} cache_layer
"""


@dataclass(frozen=True, slots=True)
class LayerAnswers:
    """What came from one layer."""

    hits: int
    served_tokens: int
    avoided_usd_micros: int


NONE = LayerAnswers(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Answers:
    """How many answers a group had, and what of them each layer of the cache gave.

    `key` has a value for each dimension that was grouped by. A run's result given again counts as one answer.
    """

    key: tuple[Any, ...]
    bought: int
    layers: Mapping[str, LayerAnswers]

    @property
    def hits(self) -> int:
        return sum(layer.hits for layer in self.layers.values())

    @property
    def answers(self) -> int:
        return self.bought + self.hits

    @property
    def hit_share(self) -> float | None:
        """Of all answers; None without any."""
        return self.share_of(self.hits)

    @property
    def served_tokens(self) -> int:
        return sum(layer.served_tokens for layer in self.layers.values())

    @property
    def avoided_usd_micros(self) -> int:
        return sum(layer.avoided_usd_micros for layer in self.layers.values())

    def share_of(self, hits: int) -> float | None:
        """What part of the answers so many are; None without any."""
        return hits / self.answers if self.answers else None


def answers_by(dimensions: Sequence[str], since: datetime, until: datetime, **filters: Any) -> list[Answers]:
    """Where the answers of [since, until) came from, grouped by dimensions of COLUMNS, those with most hits first.

    `since` and `until` are full hours, or `until` is not over yet. Filters are by a dimension's name, such as
    `tenant=tenant_id`. Raises KeyError for another dimension.
    """
    groups = "".join(f"{COLUMNS[name]}, " for name in dimensions)
    matching = "".join(f" AND {COLUMNS[name]} = %(by_{name})s" for name in filters)
    parameters = {"since": since, "until": until, **{f"by_{name}": value for name, value in filters.items()}}
    with connection.cursor() as cursor:
        cursor.execute(_ANSWERS.format(groups=groups, filters=matching), parameters)
        found = list(_grouped(cursor.fetchall()))
    return sorted(found, key=lambda one: (-one.hits, -one.bought, one.key))


def answers_in(since: datetime, until: datetime, **filters: Any) -> Answers:
    """The same in one."""
    found = answers_by([], since, until, **filters)
    return found[0] if found else Answers((), 0, {})


def _grouped(rows: Sequence[tuple[Any, ...]]) -> Iterator[Answers]:
    bought: dict[tuple[Any, ...], int] = {}
    layers: dict[tuple[Any, ...], dict[str, LayerAnswers]] = {}
    for *key, layer, answers, served_tokens, avoided_usd_micros in rows:
        group = tuple(key)
        known = layers.setdefault(group, {})
        if layer:
            known[layer] = LayerAnswers(answers, served_tokens, avoided_usd_micros)
        else:
            bought[group] = answers
    for group, known in layers.items():
        yield Answers(group, bought.get(group, 0), known)
