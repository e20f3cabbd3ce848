"""What was spent today and this month, by everything; what was saved; what has moved. At most seconds old."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.utils import timezone

from agentplatform.budgets.season import HOUR, day_start, full_hour
from agentplatform.llm.errors import UnknownPrice
from agentplatform.llm.pricing import TokenPrices
from agentplatform.llm.tiers import Tier
from apps.budgets.models import LedgerEntry
from apps.budgets.spend_selectors import SpendLine, names_of, spend_by
from apps.gateway.selectors import catalogue
from apps.workflows.cost_selectors import TaskCost, task_costs

T = TypeVar("T")

BREAKDOWNS = ("tenant", "task_type", "tier", "agent", "model", "provider")
_DIMENSIONS = (*BREAKDOWNS, "kind")
_KIND = _DIMENSIONS.index("kind")
_TIER = _DIMENSIONS.index("tier")
_BOUGHT = (LedgerEntry.Kind.CALL, LedgerEntry.Kind.BATCH)
MOVERS = 10


@dataclass(frozen=True, slots=True)
class Share:
    """What one value of a dimension came to today and this month."""

    key: Any
    name: str
    today_usd_micros: int
    month_usd_micros: int
    month_calls: int
    share: float


@dataclass(frozen=True, slots=True)
class Mover:
    """A tenant's tasks of one type whose cost has changed: the last 24 hours beside the 24 before."""

    tenant_id: uuid.UUID
    tenant: str
    task_type: str
    before_usd_micros: int
    now_usd_micros: int

    @property
    def change_usd_micros(self) -> int:
        return self.now_usd_micros - self.before_usd_micros


@dataclass(frozen=True, slots=True)
class Saving:
    """What a way of saving has saved today and this month. None where nobody knows."""

    name: str
    today_usd_micros: int | None
    month_usd_micros: int | None


@dataclass(frozen=True, slots=True)
class Costs:
    """Spend of the present day and month, UTC."""

    now: datetime
    today: Sequence[SpendLine]
    month: Sequence[SpendLine]
    hours: Sequence[SpendLine]
    days: Sequence[SpendLine]

    @property
    def today_usd_micros(self) -> int:
        return sum(line.cost_usd_micros for line in self.today)

    @property
    def month_usd_micros(self) -> int:
        return sum(line.cost_usd_micros for line in self.month)

    def by(self, dimension: str) -> list[Share]:
        """By one of BREAKDOWNS, the dearest of the month first."""
        place = _DIMENSIONS.index(dimension)
        today, month = _sums(self.today, place), _sums(self.month, place)
        names = names_of(dimension, list(month))
        total = self.month_usd_micros
        shares = [
            Share(
                key=key,
                name=names.get(key, str(key)),
                today_usd_micros=today.get(key, (0, 0))[0],
                month_usd_micros=cost,
                month_calls=calls,
                share=cost / total if total > 0 else 0.0,
            )
            for key, (cost, calls) in month.items()
        ]
        return sorted(shares, key=lambda one: (-one.month_usd_micros, one.name))

    def savings(self) -> list[Saving]:
        """By prompt caches, batches, the cache of answers, and by tiers below the highest."""
        return [
            Saving(
                "Prompt caches of providers",
                *(_avoided(lines, LedgerEntry.Kind.CALL) for lines in (self.today, self.month)),
            ),
            Saving(
                "Batches", *(_avoided(lines, LedgerEntry.Kind.BATCH) for lines in (self.today, self.month))
            ),
            Saving(
                "Answers from the cache",
                *(_avoided(lines, LedgerEntry.Kind.CACHE_HIT) for lines in (self.today, self.month)),
            ),
            Saving("Routing below the highest tier", _routed(self.today), _routed(self.month)),
        ]


class Cached(Generic[T]):
    """The same answer for `times` settings.DASHBOARD_SECONDS, read by one thread for all: many look at the same pages."""

    def __init__(self, read: Callable[[], T], times: int = 1) -> None:
        self._read = read
        self._times = times
        self._lock = threading.Lock()
        self._answer: tuple[float, T] | None = None

    def __call__(self) -> T:
        with self._lock:
            if self._answer is None or time.monotonic() >= self._answer[0]:
                self._answer = (time.monotonic() + self._times * settings.DASHBOARD_SECONDS, self._read())
            return self._answer[1]

    def forget(self) -> None:
        """Whoever asks next has it read anew."""
        with self._lock:
            self._answer = None


@dataclass(frozen=True, slots=True)
class ClosedDays:
    """The days of this month that are over, added up and each."""

    until: datetime
    lines: Sequence[SpendLine]
    days: Sequence[SpendLine]


def _read_closed_days() -> ClosedDays:
    day = day_start(timezone.now())
    month = day.replace(day=1)
    return ClosedDays(day, spend_by(_DIMENSIONS, month, day), spend_by(["day"], month, day))


closed_days = Cached(_read_closed_days, times=60)
"""Nothing is entered in them any more, so they need not be added up every few seconds."""


@Cached
def costs() -> Costs:
    """The spend of today and this month."""
    now = timezone.now()
    day = day_start(now)
    closed = closed_days()
    if closed.until != day:
        closed_days.forget()
        closed = closed_days()
    today = spend_by(_DIMENSIONS, day, now)
    return Costs(
        now=now,
        today=today,
        month=[*closed.lines, *today],
        hours=spend_by(["hour"], day, now),
        days=[*closed.days, *spend_by(["day"], day, now)],
    )


@Cached
def movers() -> list[Mover]:
    """The largest changes, up and down, of the last 24 hours beside the 24 hours before."""
    now = timezone.now()
    hours = spend_by(["hour", "tenant", "task_type"], full_hour(now - 48 * HOUR), now)
    boundary, start = now - timedelta(days=1), now - timedelta(days=2)
    found: dict[tuple[uuid.UUID, str], list[float]] = {}
    for line in hours:
        hour, tenant_id, task_type = line.key
        both = found.setdefault((tenant_id, task_type), [0.0, 0.0])
        # Of an hour that lies across the boundary, its share; of the present one, all there is.
        after = 1.0 if hour >= boundary else max((hour + HOUR - boundary) / HOUR, 0.0)
        known = min((hour + HOUR - start) / HOUR, 1.0)
        both[0] += line.cost_usd_micros * (known - after)
        both[1] += line.cost_usd_micros * after
    names = names_of("tenant", [tenant_id for tenant_id, _ in found])
    moved = [
        Mover(tenant_id, names.get(tenant_id, str(tenant_id)), task_type, round(before), round(after))
        for (tenant_id, task_type), (before, after) in found.items()
    ]
    moved = [mover for mover in moved if mover.change_usd_micros]
    return sorted(moved, key=lambda mover: -abs(mover.change_usd_micros))[:MOVERS]


@Cached
def month_task_costs() -> list[TaskCost]:
    """What finished runs of this month have cost each, by type."""
    return task_costs(day_start(timezone.now()).replace(day=1))


def _sums(lines: Sequence[SpendLine], place: int) -> dict[Any, tuple[int, int]]:
    found: dict[Any, tuple[int, int]] = {}
    for line in lines:
        cost, calls = found.get(line.key[place], (0, 0))
        found[line.key[place]] = (cost + line.cost_usd_micros, calls + line.calls)
    return found


def _avoided(lines: Sequence[SpendLine], kind: str) -> int:
    return sum(line.avoided_usd_micros for line in lines if line.key[_KIND] == kind)


def _routed(lines: Sequence[SpendLine]) -> int | None:
    """What the same tokens would have cost more on the highest tier at today's prices, with nothing cached."""
    tier, prices = _highest_tier()
    if prices is None:
        return None
    lower = [line for line in lines if line.key[_KIND] in _BOUGHT and line.key[_TIER] != tier]
    highest = sum(
        prices.input_tokens * line.input_tokens + prices.output_tokens * line.output_tokens for line in lower
    )
    return round(highest) - sum(line.cost_usd_micros + line.avoided_usd_micros for line in lower)


def _highest_tier() -> tuple[str, TokenPrices | None]:
    """The highest tier that anybody serves, and what its first target costs; None where nobody knows."""
    known = catalogue()
    if not known.tiers:
        return "", None
    tier = max(known.tiers, key=lambda one: Tier(one).rank)
    try:
        prices = known.price_list(known.tiers[tier].targets[0])
    except UnknownPrice:
        return tier, None
    return tier, prices.steps[0][1]
