"""What a day has cost, told once to the operators and to each tenant that spent anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from agentplatform.budgets.season import day_start
from apps.budgets.spend_selectors import SpendLine, names_of, spend_by
from apps.console.display import about_dollars
from apps.database import release_connection
from apps.insights.models import BudgetForecast, Measure
from apps.notifications.event_types import COST_DIGEST
from apps.notifications.models import Audience, Notice, Severity
from apps.notifications.services import notify
from apps.tenants.models import Tenant

LINES = 10
"""How many lines a list of a digest has."""

_DAY = timedelta(days=1)


def cost_digests_send() -> int:
    """Tells of yesterday (UTC) once settings.COST_DIGEST_HOUR has come; returns how many were told.

    May be called again and again: nobody is told twice of a day. The operators come last, so that a run that was cut
    off is made up for by the next.
    """
    now = timezone.now()
    day = day_start(now) - _DAY
    try:
        if now.hour < settings.COST_DIGEST_HOUR or Notice.objects.filter(dedup_key=_key(day)).exists():
            return 0
        lines = spend_by(["tenant", "task_type", "model"], day, day + _DAY)
        told = sum(_tell(day, own, tenant) for tenant, own in _by_tenant(lines))
        return told + _tell(day, lines)
    finally:
        release_connection()


def _by_tenant(lines: Sequence[SpendLine]) -> Iterable[tuple[Tenant, list[SpendLine]]]:
    own: dict[Any, list[SpendLine]] = {}
    for line in lines:
        own.setdefault(line.key[0], []).append(line)
    for tenant in Tenant.objects.filter(pk__in=list(own)).order_by("name"):
        yield tenant, own[tenant.pk]


def _tell(day: datetime, lines: Sequence[SpendLine], tenant: Tenant | None = None) -> int:
    """Tells a tenant of its own costs, or operators of all."""
    own: dict[str, Any] = {"tenant": tenant.pk} if tenant else {}
    total = _cost(lines)
    before = _cost(spend_by([], day - _DAY, day, **own))
    month = _cost(spend_by([], day.replace(day=1), day + _DAY, **own))
    parts = [
        _headline(total, before, month, day),
        *(() if tenant else _of_all(lines)),
        _list("By task type", lines, 1),
        _list("By model", lines, 2),
    ]
    notice = notify(
        code=COST_DIGEST,
        severity=Severity.INFO,
        title=f"Costs of {day:%Y-%m-%d}: {about_dollars(total)}",
        message="\n\n".join(part for part in parts if part),
        audience=Audience.TENANT if tenant else Audience.OPERATORS,
        tenant_id=tenant.pk if tenant else None,
        data=_facts(day, lines, before, month),
        dedup_key=f"{_key(day)} {tenant.pk}" if tenant else _key(day),
    )
    return int(notice is not None)


def _of_all(lines: Sequence[SpendLine]) -> tuple[str, str]:
    names = names_of("tenant", [line.key[0] for line in lines])
    return _projection(), _list("By tenant", lines, 0, names)


def _key(day: datetime) -> str:
    return f"{COST_DIGEST} {day:%Y-%m-%d}"


def _facts(day: datetime, lines: Sequence[SpendLine], before: int, month: int) -> dict[str, Any]:
    return {
        "day": f"{day:%Y-%m-%d}",
        "cost_usd_micros": _cost(lines),
        "day_before_usd_micros": before,
        "month_usd_micros": month,
        "avoided_usd_micros": sum(line.avoided_usd_micros for line in lines),
        "calls": sum(line.calls for line in lines),
    }


def _headline(total: int, before: int, month: int, day: datetime) -> str:
    return f"{about_dollars(total)} on {day:%Y-%m-%d} ({about_dollars(before)} the day before), {about_dollars(month)} in {day:%B} so far."


def _projection() -> str:
    """What the present month is expected to come to."""
    known = BudgetForecast.objects.filter(
        window=None, period="month", measure=Measure.USD_MICROS, ends_at__gt=timezone.now()
    ).first()
    if known is None:
        return ""
    interval = f"{about_dollars(known.low)} to {about_dollars(known.high)}"
    return f"This month is expected to come to {about_dollars(known.expected)} ({interval} with 80 %)."


def _list(title: str, lines: Sequence[SpendLine], place: int, names: Any = None) -> str:
    sums: dict[Any, int] = {}
    for line in lines:
        sums[line.key[place]] = sums.get(line.key[place], 0) + line.cost_usd_micros
    dearest = sorted(sums.items(), key=lambda item: (-item[1], str(item[0])))
    rows = [f"  {(names or {}).get(key, key)}: {about_dollars(cost)}" for key, cost in dearest[:LINES]]
    if len(dearest) > LINES:
        rows.append(
            f"  {len(dearest) - LINES} more: {about_dollars(sum(cost for _, cost in dearest[LINES:]))}"
        )
    return "\n".join([f"{title}:", *(rows or ["  nothing"])])


def _cost(lines: Sequence[SpendLine]) -> int:
    return sum(line.cost_usd_micros for line in lines)
