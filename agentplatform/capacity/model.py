"""What a plan is made from: a workload as it was measured, and the platform that it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agentplatform.capacity.draws import Draw

HOURS_A_WEEK = 168
SECONDS_A_DAY = 86_400.0
DAYS_A_MONTH = 365.25 / 12
FLAT = (1.0,) * HOURS_A_WEEK


@dataclass(frozen=True, slots=True)
class CallLoad:
    """The calls that a step makes to one model of a provider: how many in the mean, and what each takes.

    `rate_key` is what shares the provider's rates (provider/family). `cached` are answers from a cache, of no cost.
    """

    tier: str
    rate_key: str
    calls: float
    input_tokens: Draw
    output_tokens: Draw
    seconds: Draw
    cost_usd_micros: float
    cached: float = 0.0


@dataclass(frozen=True, slots=True)
class StepLoad:
    """The steps of one node: in which share of the runs there are any, how many then, and how long each holds a slot.

    `needs` are the nodes that have to end before. Steps of a loop follow each other, others run beside each other.
    `other_usd_micros` is what a step costs besides its calls.
    """

    node: str
    needs: tuple[str, ...]
    share: float
    count: Draw
    slot_seconds: Draw
    calls: tuple[CallLoad, ...] = ()
    estimated_tokens: int = 100
    is_loop: bool = False
    max_concurrent: int | None = None
    other_usd_micros: float = 0.0
    steps_measured: int = 0

    @property
    def steps_a_run(self) -> float:
        return self.share * self.count.mean

    @property
    def cost_usd_micros(self) -> float:
        """Of one step, in the mean."""
        return self.other_usd_micros + sum(call.calls * call.cost_usd_micros for call in self.calls)


@dataclass(frozen=True, slots=True)
class TaskLoad:
    """The runs of one type of task in one queue: how many arrive in a second of the mean hour, by tier of tenants.

    `season` has a factor for each hour of the week (UTC, Monday 00:00 first), with mean 1. `burstiness` is the squared
    coefficient of variation of the times between arrivals. A share of runs is `given_again` and has no steps.
    """

    task_type: str
    queue: str
    arrivals: Mapping[str, float]
    steps: tuple[StepLoad, ...]
    season: tuple[float, ...] = FLAT
    burstiness: float = 1.0
    given_again: float = 0.0
    runs_measured: int = 0

    @property
    def arrivals_a_second(self) -> float:
        return sum(self.arrivals.values())

    @property
    def slot_seconds_a_run(self) -> float:
        return (1 - self.given_again) * sum(step.steps_a_run * step.slot_seconds.mean for step in self.steps)

    @property
    def steps_a_run(self) -> float:
        return (1 - self.given_again) * sum(step.steps_a_run for step in self.steps)

    @property
    def cost_usd_micros_a_run(self) -> float:
        return (1 - self.given_again) * sum(step.steps_a_run * step.cost_usd_micros for step in self.steps)

    def scaled(self, factor: float) -> TaskLoad:
        return replace(self, arrivals={tier: rate * factor for tier, rate in self.arrivals.items()})


@dataclass(frozen=True, slots=True)
class Workload:
    """All that arrives. `measured_seconds` is how long it was measured, `tenant_shares` how uneven tenants of a tier are."""

    tasks: tuple[TaskLoad, ...]
    measured_seconds: float
    measured_runs: int
    tenant_shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    dispatch_seconds: Draw = field(default_factory=lambda: Draw.constant(0.0))

    def scaled(self, factor: float) -> Workload:
        return replace(self, tasks=tuple(task.scaled(factor) for task in self.tasks))

    @property
    def busiest_hour(self) -> int:
        """The hour of the week in which slots are needed most."""
        return max(range(HOURS_A_WEEK), key=lambda hour: (self.offered_at(hour), -hour))

    def offered_at(self, hour: int) -> float:
        """Slots that are busy in the mean in an hour of the week."""
        return sum(
            task.arrivals_a_second * task.season[hour] * task.slot_seconds_a_run for task in self.tasks
        )

    def at_hour(self, hour: int) -> Workload:
        """As if it were always that hour of the week."""
        tasks = (replace(task.scaled(task.season[hour]), season=FLAT) for task in self.tasks)
        return replace(self, tasks=tuple(tasks))


@dataclass(frozen=True, slots=True)
class Station:
    """Workers that serve the same queues of a pool. Those that are lendable may be lent to a more urgent queue."""

    name: str
    slots: int
    serves: frozenset[tuple[str, str]]
    """(queue, pool)."""
    worker_slots: int = 1
    is_lendable: bool = False

    @property
    def workers(self) -> int:
        return -(-self.slots // self.worker_slots) if self.slots else 0


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue's settings: workflows.QueueConfig, in numbers; and how long a step should wait in it at most (p95)."""

    name: str
    priority: int
    max_concurrent: int
    quantum_tokens: int = 10_000
    target_wait_seconds: float = 10.0
    tier_most: Mapping[str, int] = field(default_factory=dict)
    guaranteed_percent: Mapping[str, int] = field(default_factory=dict)
    dedicated_slots: int = 0
    lendable_slots: int = 0
    borrowable_slots: int = 0
    borrow_after_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class TierLimits:
    """What a tier grants each of its tenants."""

    name: str
    pool: str = "shared"
    weight: int = 1
    max_concurrent_steps: int = 1_000_000
    requests_per_minute: int = 10**9
    steps_per_minute: int = 10**9
    tokens_per_minute: int = 10**12


@dataclass(frozen=True, slots=True)
class Rates:
    """What a provider takes of a family of models in a minute; None: nothing is known."""

    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class BudgetCap:
    """A cap on money in a day or a month; of a tier of tenants or a type of task, or of everything.

    One of each tenant (`is_each`) holds of every tenant of the tier by itself; what it binds first is the largest.
    """

    name: str
    usd_micros: int
    is_monthly: bool
    tenant_tier: str | None = None
    task_type: str | None = None
    is_each: bool = False
    tenant: str | None = None
    """One tenant's own. Which share of its tier it has is not known: it is taken for the largest."""

    def counts(self, task_type: str, tenant_tier: str) -> bool:
        """Whether what such a run spends counts in it."""
        return self.task_type in (None, task_type) and self.tenant_tier in (None, tenant_tier)

    @property
    def days(self) -> float:
        return DAYS_A_MONTH if self.is_monthly else 1.0


@dataclass(frozen=True, slots=True)
class Overheads:
    """What a step costs the database and the broker, and what they can do. `make bench-planner` prints the former."""

    commits_per_step: float = 5.0
    commits_per_run: float = 1.5
    broker_messages_per_step: float = 1.0
    database_commits_per_second: float = 3_000.0
    broker_messages_per_second: float = 8_000.0


@dataclass(frozen=True, slots=True)
class Platform:
    """What the workload runs on."""

    stations: tuple[Station, ...]
    queues: Mapping[str, Queue]
    tiers: Mapping[str, TierLimits]
    rates: Mapping[str, Rates] = field(default_factory=dict)
    budgets: tuple[BudgetCap, ...] = ()
    overheads: Overheads = Overheads()

    def with_slots(self, slots: Mapping[str, int]) -> Platform:
        """The same with other numbers of slots, by the names of stations."""
        return replace(
            self,
            stations=tuple(
                replace(station, slots=slots.get(station.name, station.slots)) for station in self.stations
            ),
        )

    def slots_of(self, queue: str, pool: str) -> int:
        return sum(station.slots for station in self.stations if (queue, pool) in station.serves)
