"""Reads of what budgets ask for at the moment, and of how they stand."""

from __future__ import annotations

import functools
import time
import uuid
from dataclasses import dataclass

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from agentplatform.budgets.thresholds import Level
from agentplatform.llm.restraint import UNRESTRAINED, Restraint
from apps.budgets.models import Budget, BudgetHold, BudgetWindow, Scope, WindowUsage
from apps.database import release_connection
from apps.tenants.models import Tenant
from apps.tenants.selectors import tier_name

ACTIONS_SECONDS = 1.0
"""How old a process's copy of the actions in force may be."""


@dataclass(frozen=True, slots=True)
class ActionInForce:
    """An action of a budget that changes how calls are answered, and whose calls these are."""

    level: Level
    budget: str
    scope: str
    tier: str | None
    tenant_id: uuid.UUID | None
    api_key_id: uuid.UUID | None
    task_type: str

    def applies(self, tenant_id: uuid.UUID, api_key_id: uuid.UUID | None, task_type: str) -> bool:
        """Whether calls of this tenant, key and task type are meant."""
        match self.scope:
            case Scope.PLATFORM:
                return True
            case Scope.TIER:
                return self.tier == tier_name(tenant_id)
            case Scope.API_KEY:
                return self.api_key_id == api_key_id
            case Scope.TASK_TYPE:
                return self.task_type == task_type and self.tenant_id in (None, tenant_id)
        return self.tenant_id == tenant_id


def restraint_of(tenant_id: uuid.UUID, api_key_id: uuid.UUID | None, task_type: str) -> Restraint:
    """The strictest action in force for such calls, at most ACTIONS_SECONDS old."""
    actions = actions_in_force(int(time.monotonic() / ACTIONS_SECONDS))
    meant = [action for action in actions if action.applies(tenant_id, api_key_id, task_type)]
    strictest = max(meant, key=lambda action: action.level, default=None)
    return Restraint(strictest.level, strictest.budget) if strictest else UNRESTRAINED


@functools.lru_cache(maxsize=2)
def actions_in_force(_period: int) -> tuple[ActionInForce, ...]:
    """Those of all budgets, from degrading on. Asked for once in a while by every process, not for every call."""
    windows = current_windows().filter(level__gte=Level.DEGRADE, budget__is_dry_run=False)
    try:
        rows = list(
            windows.values_list(
                "level",
                "budget__name",
                "budget__scope",
                "budget__tier",
                "budget__tenant",
                "tenant",
                "budget__api_key",
                "budget__task_type",
            )
        )
    finally:
        release_connection()
    return tuple(
        ActionInForce(Level(level), name, scope, tier, budget_tenant or window_tenant, api_key, task_type)
        for level, name, scope, tier, budget_tenant, window_tenant, api_key, task_type in rows
    )


def current_windows() -> QuerySet[BudgetWindow]:
    """The windows of enabled budgets that are counted in at this moment."""
    return BudgetWindow.objects.filter(
        ends_at__gt=Now(), starts_at__lte=Now(), generation=F("budget__generation"), budget__is_enabled=True
    )


@dataclass(frozen=True, slots=True)
class TenantBudget:
    """A budget that caps one tenant alone, with its present windows."""

    budget: Budget
    windows: list[WindowUsage]


def budgets_of_tenant(tenant: Tenant) -> list[TenantBudget]:
    """Those whose numbers are the tenant's own: of it, of its keys, of its task types, and its tier's default."""
    has_own = Budget.objects.filter(scope=Scope.TENANT, tenant=tenant, is_enabled=True).exists()
    mine = Q(tenant=tenant) | Q(api_key__tenant=tenant)
    if not has_own:
        mine |= Q(scope=Scope.EACH_TENANT, tier=tenant.tier)
    budgets = list(Budget.objects.filter(mine, is_enabled=True))
    windows: dict[int, list[WindowUsage]] = {}
    present = current_windows().filter(budget__in=budgets).filter(Q(tenant=None) | Q(tenant=tenant))
    usages = WindowUsage.objects.filter(window__in=present).select_related("window")
    for usage in usages.order_by("window__period"):
        windows.setdefault(usage.window.budget_id, []).append(usage)
    return [TenantBudget(budget, windows.get(budget.pk, [])) for budget in budgets]


def restraint_of_tenant(tenant: Tenant) -> Restraint:
    """The strictest action in force for all of a tenant's calls, whatever their key and task type."""
    return restraint_of(tenant.pk, None, "")


def held_steps(tenant: Tenant) -> int:
    """How many of the tenant's steps wait for budget."""
    return BudgetHold.objects.filter(tenant=tenant).count()
