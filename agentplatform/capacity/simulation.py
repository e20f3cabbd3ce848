"""A workload through the platform, event by event: arrivals, admission, provider rates, budgets, the end."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isinf
from typing import Any

import simpy

from agentplatform.capacity.admission import Lane, Line, Server, Tenant, Waiting, wait_for
from agentplatform.capacity.arrivals import Tenants, arrival_gaps, tenants_of
from agentplatform.capacity.lending import lend
from agentplatform.capacity.model import BudgetCap, Platform, StepLoad, TaskLoad, Workload
from agentplatform.capacity.provider_rates import ProviderRates
from agentplatform.capacity.runs import Run
from agentplatform.rates import MINUTE_SECONDS

LENDING_SECONDS = 2.0
REVIEW_SECONDS = 0.25
"""How often the dispatcher looks without being woken."""

SLOT_PATIENCE_SECONDS = 2.0
"""A call that waits for its provider's rate for less than this waits in its slot."""

MOST_CONTINUED = 50
MOST_CONTINUED_SECONDS = 30.0

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A run that arrives: of which task of the workload, by its number, and of which tenant of a tier."""

    at_seconds: float
    task: int
    tenant_tier: str
    tenant: int


@dataclass(slots=True)
class Measured:
    """What happened in a simulated time of `seconds`, its warm-up left out. Waits are from ready to started."""

    seconds: float
    waits: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    first_waits: list[float] = field(default_factory=list)
    run_seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    busy_seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    runs: int = 0
    refused: int = 0
    steps: int = 0
    rate_waits: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    held_by_budget: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    cost_usd_micros: float = 0.0
    left_waiting: dict[tuple[str, str], int] = field(default_factory=dict)

    def queue_waits(self, queue: str) -> list[float]:
        """The waits of a queue, whichever pool they were for."""
        return [wait for (name, _), waits in self.waits.items() if name == queue for wait in waits]


def quantile(values: list[float], share: float) -> float:
    """The value that a share of all are at or below; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Simulation:
    """One simulated time. The same seed gives the same, every time."""

    def __init__(
        self,
        workload: Workload,
        platform: Platform,
        *,
        seconds: float,
        warm_up_seconds: float = 0.0,
        seed: int = 0,
        drain_seconds: float = 0.0,
        more_tenants: float = 1.0,
        budgets: Mapping[BudgetCap, float] | None = None,
        schedule: Sequence[Arrival] | None = None,
    ) -> None:
        """What arrives within `seconds`, after the warm-up, is measured; it has `drain_seconds` more to end.

        `budgets` are what may be spent, in micro-dollars, in the whole of the simulated time. With a `schedule` the
        arrivals are these, and none are drawn.
        """
        self._workload, self._platform = workload, platform
        self._warm_up, self._until, self._seed = warm_up_seconds, warm_up_seconds + seconds, seed
        self._drain_seconds = drain_seconds
        self._environment = simpy.Environment()
        self._chance = random.Random(seed)
        self._servers = [Server(station, station.serves) for station in platform.stations]
        self._tenants = tenants_of(workload, platform, more_tenants)
        self._streams = max(1, round(more_tenants))
        self._rates = ProviderRates(platform.rates, SLOT_PATIENCE_SECONDS)
        self._budget_left = dict(budgets or {})
        self._schedule = schedule
        self._lines: dict[tuple[str, str], Line] = {}
        self._in_order: list[Line] = []
        self._active: dict[str, int] = defaultdict(int)
        self._looks_at: dict[tuple[str, str], float] = {}
        self._number = 0
        self.measured = Measured(seconds)

    def run(self) -> Measured:
        """To the end of the time; nothing arrives while it drains."""
        if self._schedule is not None:
            self._environment.process(self._scheduled(self._schedule))
        else:
            self._draw_arrivals()
        if any(server.station.is_lendable for server in self._servers):
            self._environment.process(self._lending())
        self._environment.run(until=self._until)
        if self._drain_seconds:
            self._environment.run(until=self._until + self._drain_seconds)
        for line in self._in_order:
            self.measured.left_waiting[line.key] = sum(len(lane.waiting) for lane in line.lanes.values())
        return self.measured

    @property
    def _now(self) -> float:
        return float(self._environment.now)

    @property
    def _counts(self) -> bool:
        return bool(self._environment.now >= self._warm_up)

    def _draw_arrivals(self) -> None:
        for number, task in enumerate(self._workload.tasks):
            for tier, rate in task.arrivals.items():
                chance = random.Random(f"{self._seed}:{number}:{tier}")
                gaps = arrival_gaps(chance, rate, task.burstiness, self._streams)
                self._environment.process(self._arrivals(task, self._tenants[tier], chance, gaps))

    def _scheduled(self, schedule: Sequence[Arrival]) -> Process:
        for arrival in sorted(schedule, key=lambda one: one.at_seconds):
            yield self._environment.timeout(max(0.0, arrival.at_seconds - self._now))
            tenant = self._tenants[arrival.tenant_tier].at(arrival.tenant)
            self._arrive(self._workload.tasks[arrival.task], tenant)

    def _arrivals(self, task: TaskLoad, tenants: Tenants, chance: random.Random, gaps: Any) -> Process:
        for gap in gaps:
            yield self._environment.timeout(gap)
            if self._now >= self._until:
                return
            self._arrive(task, tenants.draw(chance))

    def _arrive(self, task: TaskLoad, tenant: Tenant) -> None:
        now, cost = self._now, 1 / tenant.limits.requests_per_minute
        if wait_for(tenant.requests_due - now, cost) > 0:
            self.measured.refused += self._counts
            return
        tenant.requests_due = max(tenant.requests_due, now) + MINUTE_SECONDS * cost
        self.measured.runs += self._counts
        if self._chance.random() < task.given_again:
            return
        self._number += 1
        run = Run(task, tenant, self._number, now)
        self._queue(run, run.begin(self._chance), is_first=True)
        self._admit()

    def _queue(self, run: Run, steps: list[StepLoad], *, is_first: bool = False) -> None:
        line = self._line(run)
        for place, step in enumerate(steps):
            line.add(
                run.tenant,
                Waiting((run.number, place), step.estimated_tokens, (run, step, self._now, is_first)),
            )

    def _line(self, run: Run) -> Line:
        key = (run.task.queue, run.tenant.limits.pool)
        if key not in self._lines:
            self._lines[key] = Line(self._platform, *key, self._servers)
            self._in_order = sorted(
                self._lines.values(), key=lambda line: (-line.settings.priority, line.key)
            )
        return self._lines[key]

    def _admit(self) -> None:
        """Fills free slots, the most urgent queue first."""
        for line in self._in_order:
            queue = line.key[0]
            while (admitted := line.admit(self._now, self._active[queue])) is not None:
                lane, waiting, server = admitted
                self._active[queue] += 1
                self._environment.process(self._work(line, lane, server, *waiting.what))
            if line.has_backlog and line.free_server() is not None:
                self._look_again(line)

    def _look_again(self, line: Line) -> None:
        """What waits beside a free slot waits for an allowance or a limit: the dispatcher comes back to it."""
        at = line.next_room(self._now)
        at = self._now + REVIEW_SECONDS if isinf(at) else max(at, self._now + 1e-3)
        planned = self._looks_at.get(line.key, -inf)
        if planned <= self._now or at < planned:
            self._looks_at[line.key] = at
            self._environment.process(self._later(at - self._now))

    def _later(self, seconds: float) -> Process:
        yield self._environment.timeout(seconds)
        self._admit()

    def _work(
        self,
        line: Line,
        lane: Lane,
        server: Server,
        run: Run,
        step: StepLoad,
        ready_at: float,
        is_first: bool,
    ) -> Process:
        """A slot's time with a step, and with those of its run that follow in it."""
        taken_at = self._now
        yield self._environment.timeout(self._workload.dispatch_seconds.draw(self._chance))
        begun_at, continued = self._now, 0
        while True:
            seconds = self._start(line, run, step, ready_at, is_first)
            if seconds is None:
                break
            yield self._environment.timeout(seconds)
            ready = self._end(run, step)
            may = continued < MOST_CONTINUED and self._now < begun_at + MOST_CONTINUED_SECONDS
            if not ready or not may or not line.may_continue(lane, ready[0].estimated_tokens, self._now):
                self._queue(run, ready)
                break
            self._queue(run, ready[1:])
            if len(ready) > 1:
                self._admit()
            step, ready_at, is_first, continued = ready[0], self._now, False, continued + 1
        line.release(lane, server)
        self._active[line.key[0]] -= 1
        began = max(taken_at, self._warm_up)
        ended = min(self._now, self._until)
        if ended > began:
            self.measured.busy_seconds[server.station.name] += ended - began
        self._admit()

    def _start(self, line: Line, run: Run, step: StepLoad, ready_at: float, is_first: bool) -> float | None:
        """Seconds that the step will hold its slot; None where it has to wait outside, for a rate or for a budget."""
        if self._budget_left and self._is_held(run, step):
            return None
        wait, rate_key = self._rates.take(step, self._now, self._chance)
        if wait > 0:
            self.measured.rate_waits[rate_key] += self._counts
        if wait > SLOT_PATIENCE_SECONDS:
            self._environment.process(self._again(run, step, wait))
            return None
        if run.began_at >= self._warm_up:
            waited = self._now - ready_at
            self.measured.waits[line.key].append(waited)
            if is_first:
                self.measured.first_waits.append(waited)
            self.measured.steps += 1
            self.measured.cost_usd_micros += step.cost_usd_micros
        return step.slot_seconds.draw(self._chance) + wait

    def _again(self, run: Run, step: StepLoad, seconds: float) -> Process:
        yield self._environment.timeout(seconds)
        self._queue(run, [step])
        self._admit()

    def _end(self, run: Run, step: StepLoad) -> list[StepLoad]:
        ready = run.step_ended(step)
        if run.is_over and run.began_at >= self._warm_up:
            self.measured.run_seconds[run.task.task_type].append(self._now - run.began_at)
        return ready

    def _is_held(self, run: Run, step: StepLoad) -> bool:
        """Whether a budget has no room for the step; else its cost is taken from all that it counts in."""
        own = [budget for budget in self._budget_left if budget.counts(run.task.task_type, run.tenant.tier)]
        for budget in own:
            if self._budget_left[budget] < step.cost_usd_micros:
                self.measured.held_by_budget[budget.name] += self._counts
                return True
        for budget in own:
            self._budget_left[budget] -= step.cost_usd_micros
        return False

    def _lending(self) -> Process:
        while True:
            yield self._environment.timeout(LENDING_SECONDS)
            if lend(self._platform, self._in_order, self._servers, self._now):
                self._admit()
