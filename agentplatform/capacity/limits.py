"""How near a workload comes to each limit of the platform, and at what growth it reaches it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from agentplatform.capacity.costs import budget_use
from agentplatform.capacity.model import Platform, TaskLoad, Workload


class LimitKind(StrEnum):
    """What binds."""

    WORKERS = "workers"
    QUEUE = "queue"
    TIER = "tier"
    TENANT = "tenant"
    PROVIDER_RATE = "provider rate"
    BUDGET = "budget"
    DATABASE = "database"
    BROKER = "broker"


@dataclass(frozen=True, slots=True)
class Limit:
    """What is used of it in the busiest hour, and what there is. `grows`: with more tenants it is used more."""

    kind: LimitKind
    name: str
    used: float
    most: float
    unit: str
    grows: bool = True

    @property
    def utilisation(self) -> float:
        return self.used / self.most if self.most else float("inf")

    def binds_at(self, growth: float) -> float | None:
        """The growth at which it is used up, from what is used at `growth`; None: growth does not use it."""
        if not self.grows or self.used <= 0:
            return None
        return growth / self.utilisation


def limits_of(workload: Workload, platform: Platform, *, same_tenants: bool = False) -> list[Limit]:
    """All of them, the nearest first. Growth is taken to come from more tenants, unless it is the same ones'."""
    busy = workload.at_hour(workload.busiest_hour)
    found = [
        *_slots(busy, platform),
        *_tenant_limits(busy, platform, grows=same_tenants),
        *_rates(busy, platform),
        *_machines(busy, platform),
        *(
            Limit(
                LimitKind.BUDGET,
                cap.name,
                demand / 1e6,
                cap.usd_micros / 1e6,
                "USD",
                same_tenants or (not cap.is_each and cap.tenant is None),
            )
            for cap, demand in budget_use(workload, platform)
        ),
    ]
    return sorted((limit for limit in found if limit.used > 0), key=lambda limit: -limit.utilisation)


def offered_slots(busy: Workload, platform: Platform) -> dict[tuple[str, str], float]:
    """Busy slots in the mean, by queue and pool; a hint's way to its worker holds a slot too."""
    offered: dict[tuple[str, str], float] = defaultdict(float)
    for task in busy.tasks:
        for tier, rate in task.arrivals.items():
            key = (task.queue, platform.tiers[tier].pool)
            offered[key] += rate * (task.slot_seconds_a_run + _hints(task) * busy.dispatch_seconds.mean)
    return offered


def _hints(task: TaskLoad) -> float:
    """Steps of a run that come by admission: of a chain the first alone."""
    sources = sum(step.steps_a_run for step in task.steps if not step.needs)
    parallel = sum(max(0.0, step.steps_a_run - 1) for step in task.steps if step.needs and not step.is_loop)
    return (1 - task.given_again) * (sources + parallel)


def _slots(busy: Workload, platform: Platform) -> Iterator[Limit]:
    offered = offered_slots(busy, platform)
    slots: dict[frozenset[tuple[str, str]], int] = defaultdict(int)
    for station in platform.stations:
        slots[station.serves] += station.slots
    for serves, most in slots.items():
        names = "+".join(sorted(queue if pool == "shared" else f"{queue}.{pool}" for queue, pool in serves))
        yield Limit(LimitKind.WORKERS, names, sum(offered[key] for key in serves), most, "slots")
    for queue in platform.queues.values():
        used = sum(amount for (name, _), amount in offered.items() if name == queue.name)
        yield Limit(LimitKind.QUEUE, queue.name, used, queue.max_concurrent, "steps at once")
        for tier, most in queue.tier_most.items():
            used = sum(
                task.arrivals.get(tier, 0.0) * task.slot_seconds_a_run
                for task in busy.tasks
                if task.queue == queue.name
            )
            yield Limit(LimitKind.TIER, f"{tier} in {queue.name}", used, most, "steps at once")


def _tenant_limits(busy: Workload, platform: Platform, *, grows: bool) -> Iterator[Limit]:
    """Of the largest tenant of each tier."""
    for name, tier in platform.tiers.items():
        largest = max(workload_shares(busy, name))
        runs = largest * sum(task.arrivals.get(name, 0.0) for task in busy.tasks)
        if not runs:
            continue
        own = [(task, task.arrivals.get(name, 0.0) * largest) for task in busy.tasks]
        offered = sum(rate * task.slot_seconds_a_run for task, rate in own)
        steps = 60 * sum(rate * task.steps_a_run for task, rate in own)
        tokens = 60 * sum(
            rate
            * (1 - task.given_again)
            * sum(step.steps_a_run * step.estimated_tokens for step in task.steps)
            for task, rate in own
        )
        who = f"largest tenant of {name}"
        yield Limit(LimitKind.TENANT, who, offered, tier.max_concurrent_steps, "steps at once", grows)
        yield Limit(LimitKind.TENANT, who, 60 * runs, tier.requests_per_minute, "requests a minute", grows)
        yield Limit(LimitKind.TENANT, who, steps, tier.steps_per_minute, "steps a minute", grows)
        yield Limit(LimitKind.TENANT, who, tokens, tier.tokens_per_minute, "tokens a minute", grows)


def workload_shares(workload: Workload, tier: str) -> tuple[float, ...]:
    return workload.tenant_shares.get(tier) or (1.0,)


def _rates(busy: Workload, platform: Platform) -> Iterator[Limit]:
    used: dict[tuple[str, str], float] = defaultdict(float)
    for task in busy.tasks:
        for step in task.steps:
            for call in step.calls:
                calls = 60 * task.arrivals_a_second * (1 - task.given_again) * step.steps_a_run * call.calls
                used[call.rate_key, "requests"] += calls
                used[call.rate_key, "input tokens"] += calls * call.input_tokens.mean
                used[call.rate_key, "output tokens"] += calls * call.output_tokens.mean
    for key, rates in platform.rates.items():
        for unit, most in (
            ("requests", rates.requests),
            ("input tokens", rates.input_tokens),
            ("output tokens", rates.output_tokens),
        ):
            if most:
                yield Limit(LimitKind.PROVIDER_RATE, key, used[key, unit], most, f"{unit} a minute")


def _machines(busy: Workload, platform: Platform) -> Iterator[Limit]:
    commits, messages = machine_load(busy, platform)
    told = platform.overheads
    yield Limit(
        LimitKind.DATABASE, "database", commits, told.database_commits_per_second, "transactions a second"
    )
    yield Limit(LimitKind.BROKER, "broker", messages, told.broker_messages_per_second, "messages a second")


def machine_load(workload: Workload, platform: Platform) -> tuple[float, float]:
    """Transactions of the database and messages through the broker, a second."""
    steps = sum(task.arrivals_a_second * task.steps_a_run for task in workload.tasks)
    runs = sum(task.arrivals_a_second for task in workload.tasks)
    told = platform.overheads
    return steps * told.commits_per_step + runs * told.commits_per_run, steps * told.broker_messages_per_step
