"""What a workload costs, and what of that budgets let through."""

from __future__ import annotations

from agentplatform.capacity.model import DAYS_A_MONTH, SECONDS_A_DAY, BudgetCap, Platform, TaskLoad, Workload

DAYS_A_WEEK = 7
HOURS_A_DAY = 24

Demand = dict[tuple[int, str], list[float]]
"""By the number of a task and the tier of tenants: micro-dollars on each day of the week."""


def monthly_cost_usd_micros(workload: Workload) -> float:
    """Of a month, whatever budgets say."""
    return sum(sum(days) for days in _demand(workload).values()) * DAYS_A_MONTH / DAYS_A_WEEK


def cost_within_budgets_usd_micros(workload: Workload, platform: Platform) -> float:
    """Of a month, when budgets hold what goes beyond them: evenly of all that counts in a budget."""
    demand = _demand(workload)
    for cap in platform.budgets:
        own = [key for key in demand if cap.counts(workload.tasks[key[0]].task_type, key[1])]
        days = [sum(demand[key][day] for key in own) for day in range(DAYS_A_WEEK)]
        let_through = _let_through(days, cap, _tenants(workload, cap))
        for key in own:
            demand[key] = [
                amount * let / whole if whole else 0.0
                for amount, let, whole in zip(demand[key], let_through, days, strict=True)
            ]
    return sum(sum(days) for days in demand.values()) * DAYS_A_MONTH / DAYS_A_WEEK


def budget_use(workload: Workload, platform: Platform) -> list[tuple[BudgetCap, float]]:
    """What counts in each budget: in a month, or on its busiest day. Of a tenant's it is the largest tenant's."""
    demand = _demand(workload)
    found = []
    for cap in platform.budgets:
        own = [demand[key] for key in demand if cap.counts(workload.tasks[key[0]].task_type, key[1])]
        days = [sum(one[day] for one in own) for day in range(DAYS_A_WEEK)]
        amount = sum(days) * DAYS_A_MONTH / DAYS_A_WEEK if cap.is_monthly else max(days)
        found.append((cap, amount * max(_tenants(workload, cap))))
    return found


def _tenants(workload: Workload, cap: BudgetCap) -> tuple[float, ...]:
    """Whose spending a cap holds of, by their shares: of everybody's together, or of each tenant's."""
    if not cap.is_each and cap.tenant is None:
        return (1.0,)
    return workload.tenant_shares.get(cap.tenant_tier or "") or (1.0,)


def _let_through(days: list[float], cap: BudgetCap, shares: tuple[float, ...]) -> list[float]:
    """What a cap lets through of each day of the week."""
    if cap.tenant is not None:
        largest = shares[0]
        held = _let_through(
            [day * largest for day in days], BudgetCap(cap.name, cap.usd_micros, cap.is_monthly), (1.0,)
        )
        return [day * (1 - largest) + part for day, part in zip(days, held, strict=True)]
    if not cap.is_monthly:
        return [sum(min(day * share, cap.usd_micros) for share in shares) for day in days]
    week = sum(days)
    if not week:
        return days
    most = cap.usd_micros * DAYS_A_WEEK / DAYS_A_MONTH
    let = sum(min(week * share, most) for share in shares) / week
    return [day * let for day in days]


def _demand(workload: Workload) -> Demand:
    return {
        (number, tier): [rate * task.cost_usd_micros_a_run * weight for weight in _day_seconds(task)]
        for number, task in enumerate(workload.tasks)
        for tier, rate in task.arrivals.items()
    }


def _day_seconds(task: TaskLoad) -> list[float]:
    """How many seconds of the mean hour each day of the week has."""
    hour = SECONDS_A_DAY / HOURS_A_DAY
    return [
        hour * sum(task.season[day * HOURS_A_DAY : (day + 1) * HOURS_A_DAY]) for day in range(DAYS_A_WEEK)
    ]
