"""Plans: for each growth the cost, the waits, the workers, the load of the servers, and the limit that binds first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentplatform.capacity.confidence import notes_on
from agentplatform.capacity.costs import cost_within_budgets_usd_micros, monthly_cost_usd_micros
from agentplatform.capacity.limits import Limit, limits_of, machine_load
from agentplatform.capacity.model import SECONDS_A_DAY, Platform, Workload
from agentplatform.capacity.sizing import LinePlan, Sizing


@dataclass(frozen=True, slots=True)
class Scenario:
    """The workload grown by a factor. Money is in micro-dollars a month; rates are those of the busiest hour."""

    growth: float
    users: float | None
    runs_a_day: float
    steps_a_second: float
    cost_usd_micros: float
    cost_within_budgets_usd_micros: float
    lines: tuple[LinePlan, ...]
    limits: tuple[Limit, ...]
    database_commits_per_second: float
    broker_messages_per_second: float
    refused_share: float
    is_simulated: bool

    @property
    def first_limit(self) -> Limit | None:
        """The limit that is nearest to being used up, or furthest beyond it."""
        return self.limits[0] if self.limits else None

    @property
    def workers_needed(self) -> int | None:
        known = [line.needed_workers for line in self.lines]
        return None if None in known else sum(one for one in known if one is not None)


def scenario(
    workload: Workload,
    platform: Platform,
    growth: float,
    *,
    users: float | None = None,
    same_tenants: bool = False,
    seed: int = 0,
) -> Scenario:
    """What becomes of `growth` times the workload. By more tenants like those that there are, or by the same ones."""
    grown = workload.scaled(growth)
    busy = grown.at_hour(grown.busiest_hour)
    limits = tuple(limits_of(grown, platform, same_tenants=same_tenants))
    commits, messages = machine_load(busy, platform)
    steps_a_second = sum(task.arrivals_a_second * task.steps_a_run for task in busy.tasks)
    sizing = Sizing(busy, platform, 1.0 if same_tenants else growth, seed)
    lines = sizing.lines()
    return Scenario(
        growth,
        users,
        SECONDS_A_DAY * sum(task.arrivals_a_second for task in grown.tasks),
        steps_a_second,
        monthly_cost_usd_micros(grown),
        cost_within_budgets_usd_micros(grown, platform),
        lines,
        limits,
        commits,
        messages,
        sizing.refused_share,
        sizing.is_simulated,
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """Scenarios by growth, the growth at which each limit is reached, and how good all of it is."""

    scenarios: tuple[Scenario, ...]
    notes: tuple[str, ...]
    cost_error: float
    """How far off costs may be by chance: half of a 95% interval, as a share."""


def plan(
    workload: Workload,
    platform: Platform,
    growths: Sequence[float],
    *,
    users: float | None = None,
    same_tenants: bool = False,
    seed: int = 0,
    told: Callable[[float], None] = lambda growth: None,
) -> Plan:
    """A scenario for each growth; `users` are those of the measured workload, and grow with it. `told` hears of progress."""
    scenarios = []
    for growth in growths:
        told(growth)
        scenarios.append(
            scenario(
                workload,
                platform,
                growth,
                users=None if users is None else users * growth,
                same_tenants=same_tenants,
                seed=seed,
            )
        )
    notes, error = notes_on(workload, platform, max(growths), any(not one.is_simulated for one in scenarios))
    return Plan(tuple(scenarios), notes, error)
