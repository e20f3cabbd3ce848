"""Watches budgets: which graded actions begin and end, who is told, who is throttled, what nobody needs any longer."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from django.db import transaction
from django.db.models import Prefetch
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from agentplatform.budgets.thresholds import Judgement, Level, judge
from apps.budgets.models import BudgetWindow, Scope, ThresholdCrossing, WindowUsage
from apps.budgets.selectors import current_windows
from apps.console.display import dollars
from apps.database import call_function, release_connection
from apps.notifications.models import Audience, Severity
from apps.notifications.services import notify
from apps.tenants.models import Tenant
from apps.tenants.services import tenants_throttle

_SEVERITIES = {
    Level.ALERT: Severity.INFO,
    Level.DEGRADE: Severity.WARNING,
    Level.THROTTLE: Severity.WARNING,
    Level.SHUTOFF: Severity.CRITICAL,
}
_EFFECTS = {
    Level.ALERT: "Nothing is held back yet.",
    Level.DEGRADE: "Cheaper tiers of models answer from now on.",
    Level.THROTTLE: "Fewer steps run at once, and start a minute.",
    Level.SHUTOFF: "Steps that call a model are held until the window turns or the budget is raised.",
}


def budgets_watch() -> int:
    """Judges the present windows; returns how many actions began or ended. Any number may do this at once."""
    try:
        changes = sum(_judge(usage) for usage in _watched())
        _throttle()
    finally:
        release_connection()
    return changes


def slices_give_back() -> int:
    """Has slices give back what nobody needs any longer; returns how many did."""
    return int(call_function("budgets_recall", [None], ["bigint[]"])[0][0])


def _watched() -> list[WindowUsage]:
    """The windows that come near a threshold, or are past one."""
    near = RawSQL("SELECT budgets_windows_to_judge()", ())
    open_crossings = ThresholdCrossing.objects.filter(ended_at=None)
    return list(
        WindowUsage.objects.filter(window__in=near)
        .select_related("window__budget")
        .prefetch_related(Prefetch("window__crossings", open_crossings, to_attr="open_crossings"))
    )


def _judge(usage: WindowUsage) -> bool:
    window = usage.window
    open_crossings: Sequence[ThresholdCrossing] = window.open_crossings  # type: ignore[attr-defined]
    in_force = frozenset(Level(crossing.level) for crossing in open_crossings)
    judgement = judge(window.budget.thresholds, usage.as_usage, in_force)
    if not judgement.begun and not judgement.ended:
        return False
    with transaction.atomic():
        return _apply(usage, judgement)


def _apply(usage: WindowUsage, judgement: Judgement) -> bool:
    """Writes down what begins and ends, and tells of it; False where another process was first."""
    window = usage.window
    mine = BudgetWindow.objects.filter(pk=window.pk, level=window.level).update(level=judgement.level)
    if not mine:
        return False
    window.crossings.filter(ended_at=None, level__in=judgement.ended).update(ended_at=Now())
    crossings = [
        ThresholdCrossing(
            window=window,
            level=level,
            used_percent=usage.used_percent,
            cap=usage.as_usage.cap,
            is_dry_run=window.budget.is_dry_run,
        )
        for level in judgement.begun
    ]
    ThresholdCrossing.objects.bulk_create(crossings)
    if Level.THROTTLE in (*judgement.begun, *judgement.ended):
        call_function("budgets_forget_window_sets", [window.pk], ["bigint"])
    for crossing in crossings:
        _tell(usage, crossing)
    if Level.SHUTOFF in judgement.ended:
        _tell_of_room(usage)
    return True


def _tell(usage: WindowUsage, crossing: ThresholdCrossing) -> None:
    level, budget, window = Level(crossing.level), usage.window.budget, usage.window
    percent = budget.thresholds.of(level)
    effect = f"Dry run: {_EFFECTS[level].lower()}" if budget.is_dry_run else _EFFECTS[level]
    audience, tenant_id = audience_of(window)
    notify(
        code="budget.threshold",
        severity=Severity.INFO if budget.is_dry_run else _SEVERITIES[level],
        title=f"Budget '{budget.name}': {level.name.lower()} at {usage.used_percent:.0f} %",
        message=f"{used_words(usage)} The threshold is {percent} %. {effect}",
        audience=audience,
        tenant_id=tenant_id,
        data={
            **_facts(usage),
            "action": level.name.lower(),
            "is_dry_run": budget.is_dry_run,
        },
        dedup_key=f"crossing {crossing.pk}",
    )


def _tell_of_room(usage: WindowUsage) -> None:
    audience, tenant_id = audience_of(usage.window)
    notify(
        code="budget.room",
        severity=Severity.INFO,
        title=f"Budget '{usage.window.budget.name}' has room again",
        message=f"{used_words(usage)} Steps that were held go on by themselves.",
        audience=audience,
        tenant_id=tenant_id,
        data=_facts(usage),
    )


def _facts(usage: WindowUsage) -> dict[str, object]:
    window = usage.window
    return {
        "budget": window.budget.name,
        "scope": window.budget.scope,
        "period": window.period,
        "window_starts_at": window.starts_at.isoformat(),
        "window_ends_at": window.ends_at.isoformat(),
        "used_percent": round(usage.used_percent, 1),
        "used_usd_micros": usage.used_usd_micros,
        "cap_usd_micros": usage.cap_usd_micros,
        "used_tokens": usage.used_tokens,
        "cap_tokens": usage.cap_tokens,
    }


def used_words(usage: WindowUsage) -> str:
    """How much of a window is used, in a sentence."""
    parts = []
    if usage.cap_usd_micros is not None:
        parts.append(f"{dollars(usage.used_usd_micros)} of {dollars(usage.cap_usd_micros)}")
    if usage.cap_tokens is not None:
        parts.append(f"{usage.used_tokens:,} of {usage.cap_tokens:,} tokens")
    return f"This {usage.window.period} {' and '.join(parts)} are used."


def audience_of(window: BudgetWindow) -> tuple[str, uuid.UUID | None]:
    """Who is told of a window: the tenant whose spending alone it caps, and operators of all."""
    budget = window.budget
    tenant_id = budget.tenant_id or window.tenant_id
    if budget.api_key is not None:
        tenant_id = budget.api_key.tenant_id
    return (Audience.BOTH if tenant_id else Audience.OPERATORS), tenant_id


def _throttle() -> None:
    """Cuts the concurrency and rates of the tenants whose budgets ask for it, and of nobody else."""
    throttled = current_windows().filter(level__gte=Level.THROTTLE, budget__is_dry_run=False)
    percents: dict[uuid.UUID, int] = {}
    for window in throttled.select_related("budget"):
        percent = window.budget.throttle_to_percent
        for tenant_id in _tenants_of(window):
            percents[tenant_id] = min(percent, percents.get(tenant_id, 100))
    tenants_throttle(percents)


def _tenants_of(window: BudgetWindow) -> Iterable[uuid.UUID]:
    """The tenants whose lanes a throttle slows down; one of a key or a task type slows down its calls (budgets_reserve)."""
    budget = window.budget
    match budget.scope:
        case Scope.PLATFORM:
            return Tenant.objects.values_list("pk", flat=True)
        case Scope.TIER:
            return Tenant.objects.filter(tier=budget.tier).values_list("pk", flat=True)
        case Scope.TENANT | Scope.EACH_TENANT:
            return [tenant_id for tenant_id in (budget.tenant_id or window.tenant_id,) if tenant_id]
    return ()
