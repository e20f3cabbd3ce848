"""How calls were routed lately, and what came of it: by type of task and tier, and by agent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, Sum
from django.utils import timezone

from agentplatform.llm.tiers import Tier
from apps.console.filters import CLOCK_SLACK, first_id
from apps.database import read_within
from apps.gateway.models import Call
from apps.gateway.selectors import catalogue

MAX_DAYS = 31
READ_SECONDS = 20.0
"""How long the database has to add up a period."""


@dataclass(slots=True)
class Route:
    """The calls of one type of task on one tier. `escalations` are answers that were asked for again one tier up."""

    task_type: str
    tier: str
    calls: int = 0
    answered: int = 0
    failed: int = 0
    escalations: int = 0
    fallbacks: int = 0
    cost_usd_micros: int = 0
    scored: int = 0
    complexity_total: float = 0.0

    @property
    def escalation_share(self) -> float | None:
        return share(self.escalations, self.answered)

    @property
    def fallback_share(self) -> float | None:
        return share(self.fallbacks, self.calls)

    @property
    def mean_complexity(self) -> float | None:
        """Of the calls that were scored; None where every tier was pinned."""
        return self.complexity_total / self.scored if self.scored else None


@dataclass(slots=True)
class AgentCaching:
    """How much of an agent's input the providers had in their prompt caches."""

    agent: str
    calls: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0

    @property
    def hit_share(self) -> float | None:
        return share(self.cache_read_tokens, self.input_tokens)


@dataclass(frozen=True, slots=True)
class RoutingReport:
    """What was routed since a time."""

    since: datetime
    routes: list[Route] = field(default_factory=list)
    agents: list[AgentCaching] = field(default_factory=list)


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def routing_report(days: int) -> RoutingReport:
    """The last `days` times 24 hours. Raises OperationalError where the database does not add them up in time."""
    since = timezone.now() - timedelta(days=days)
    first = {tier.value: told.targets[0].provider for tier, told in catalogue().tiers.items()}
    with read_within(READ_SECONDS):
        rows = list(_grouped(since))
    return RoutingReport(since, _routes(rows, first), _agents(rows))


def _grouped(since: datetime) -> Iterable[Mapping[str, Any]]:
    # The ids carry the time, so that the primary key's index narrows it down, and no other has to be kept.
    made = Call.objects.filter(pk__gte=first_id(since - CLOCK_SLACK), started_at__gte=since)
    calls = made.filter(cache__isnull=True).order_by()  # what the cache answered was not routed
    grouped = calls.values("task_type", "tier", "provider", "agent", "escalated_from", "lane")
    return grouped.annotate(
        calls=Count("pk"),
        answered=Count("pk", filter=Q(status="settled")),
        failed=Count("pk", filter=Q(status="failed")),
        scored=Count("complexity"),
        complexity_total=Sum("complexity"),
        cost=Sum("cost_usd_micros"),
        input_total=Sum("input_tokens"),
        cache_read_total=Sum("cache_read_tokens"),
    )


def _routes(rows: Iterable[Mapping[str, Any]], first: Mapping[str, str]) -> list[Route]:
    found: dict[tuple[str, str], Route] = {}

    def route(task_type: str, tier: str) -> Route:
        return found.setdefault((task_type, tier), Route(task_type, tier))

    for row in rows:
        one = route(row["task_type"], row["tier"])
        one.calls += row["calls"]
        one.answered += row["answered"]
        one.failed += row["failed"]
        one.scored += row["scored"]
        one.complexity_total += row["complexity_total"] or 0.0
        one.cost_usd_micros += int(row["cost"])
        if row["lane"] == "live" and row["provider"] != first.get(row["tier"], row["provider"]):
            one.fallbacks += row["calls"]
        if row["escalated_from"]:
            route(row["task_type"], row["escalated_from"]).escalations += row["answered"]
    return sorted(found.values(), key=lambda one: (one.task_type, _rank(one.tier)))


def _agents(rows: Iterable[Mapping[str, Any]]) -> list[AgentCaching]:
    found: dict[str, AgentCaching] = {}
    for row in rows:
        one = found.setdefault(row["agent"], AgentCaching(row["agent"]))
        one.calls += row["calls"]
        one.input_tokens += int(row["input_total"])
        one.cache_read_tokens += int(row["cache_read_total"])
    return sorted(found.values(), key=lambda one: one.agent)


def _rank(tier: str) -> int:
    return Tier(tier).rank if tier in set(Tier) else len(Tier)
