"""Waits in queues now, and the slots that would do: by simulation, or by formula where that would take too long."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agentplatform.capacity.erlang import slots_for, wait_quantile
from agentplatform.capacity.limits import offered_slots
from agentplatform.capacity.model import Platform, Station, Workload
from agentplatform.capacity.simulation import Measured, Simulation, quantile

STEPS = 12_000
"""About how many steps a simulation has."""

MOST_STEPS = 60_000
"""What would take more than so many to settle is worked out by formula."""

SETTLING = 25.0
"""A simulation lasts at least so many times the longest step."""

REPLICATIONS = 3
SHARE = 0.95

Line = tuple[str, str]


@dataclass(frozen=True, slots=True)
class LinePlan:
    """A queue for one pool of workers, in the busiest hour. Waits are 95th percentiles, from ready to started.

    `wait_seconds` is that with the present slots; None where they do not suffice and it grows without end. `low` and
    `high` enclose it in 95% of such simulations. `needed_slots` keep the wait within the target; None where no number
    does, since it is another limit that steps wait for.
    """

    queue: str
    pool: str
    busy_slots: float
    slots: int
    target_seconds: float
    wait_seconds: float | None
    low_seconds: float | None
    high_seconds: float | None
    needed_slots: int | None
    needed_workers: int | None
    wait_with_needed_seconds: float | None
    steps_simulated: int

    @property
    def utilisation(self) -> float:
        return self.busy_slots / self.slots if self.slots else math.inf


class Sizing:
    """Waits now, and the slots that would do: by simulation, or by formula where that would be too long."""

    def __init__(self, busy: Workload, platform: Platform, more_tenants: float, seed: int) -> None:
        self._busy, self._platform = busy, platform
        self._more_tenants, self._seed = more_tenants, seed
        self._offered = {line: slots for line, slots in offered_slots(busy, platform).items() if slots > 0}
        steps = sum(task.arrivals_a_second * task.steps_a_run for task in busy.tasks)
        longest = max((step.slot_seconds.mean for task in busy.tasks for step in task.steps), default=1.0)
        self._seconds = max(STEPS / steps if steps else 60.0, SETTLING * longest)
        self.is_simulated = 0 < self._seconds * 1.2 * steps <= MOST_STEPS
        self.refused_share = 0.0

    def lines(self) -> tuple[LinePlan, ...]:
        present = {line: self._platform.slots_of(*line) for line in self._offered}
        now = self._measure(present, REPLICATIONS, self._platform)
        if self.is_simulated and now:
            runs = sum(one.runs + one.refused for one in now)
            self.refused_share = sum(one.refused for one in now) / runs if runs else 0.0
        needed = self._needed()
        enough = self._measure({line: slots or present[line] for line, slots in needed.items()}, 1)
        return tuple(
            self._line(line, present[line], now, needed[line], enough) for line in sorted(self._offered)
        )

    def _line(
        self, line: Line, slots: int, now: Sequence[Measured], needed: int | None, enough: Sequence[Measured]
    ) -> LinePlan:
        waits = [quantile(one.waits.get(line, []), SHARE) for one in now]
        if not self.is_simulated:
            waits = [self._formula(line, slots)]
        is_stable = self._is_stable(line, now) and all(map(math.isfinite, waits))
        mean = statistics.mean(waits) if waits else 0.0
        spread = 0.0
        if len(waits) > 1:
            spread = 4.303 * statistics.stdev(waits) / math.sqrt(len(waits))  # Student's t, of three
        each = max((one.worker_slots for one in self._platform.stations if line in one.serves), default=1)
        with_needed = quantile(enough[0].waits.get(line, []), SHARE) if enough else None
        if needed is not None and not self.is_simulated:
            with_needed = self._formula(line, needed)
        known = is_stable and bool(waits)
        return LinePlan(
            *line,
            self._offered[line],
            slots,
            self._platform.queues[line[0]].target_wait_seconds,
            mean if known else None,
            max(0.0, mean - spread) if known and self.is_simulated else None,
            mean + spread if known and self.is_simulated else None,
            needed,
            None if needed is None else -(-needed // each),
            None if needed is None else with_needed,
            sum(len(one.waits.get(line, [])) for one in now),
        )

    def _is_stable(self, line: Line, now: Sequence[Measured]) -> bool:
        """Whether waits do not grow without end: with lent workers and limits of tenants, as the simulation ended."""
        utilisation = self._shared_utilisation(line)
        if not now:
            return utilisation < 1
        left = sum(one.left_waiting.get(line, 0) for one in now)
        whole = left + sum(len(one.waits.get(line, [])) for one in now)
        return left <= (0.1 if utilisation < 1 else 0.01) * whole

    def _shared_utilisation(self, line: Line) -> float:
        """Of the workers that serve the line, by all that they serve."""
        serving = [station for station in self._platform.stations if line in station.serves]
        served = {other for station in serving for other in station.serves}
        slots = sum(station.slots for station in serving)
        return sum(self._offered.get(other, 0.0) for other in served) / slots if slots else math.inf

    def _measure(
        self, slots: Mapping[Line, int], replications: int, platform: Platform | None = None
    ) -> list[Measured]:
        """Simulations with so many slots for each line by itself; or on the platform as it is."""
        if not self.is_simulated:
            return []
        return [
            Simulation(
                self._busy,
                platform or with_own_stations(self._platform, slots),
                seconds=self._seconds,
                warm_up_seconds=self._seconds / 5,
                seed=1_000 * self._seed + number,
                more_tenants=self._more_tenants,
            ).run()
            for number in range(replications)
        ]

    def _needed(self) -> dict[Line, int | None]:
        """The fewest slots of each line that keep its wait within its target; of all lines at once."""
        if not self.is_simulated:
            return {line: self._by_formula(line) for line in self._offered}
        low = {line: math.floor(slots) for line, slots in self._offered.items()}
        high = {line: self._by_formula(line) for line in self._offered}
        missing: set[Line] = set()
        for _ in range(4):
            missing = self._late(high)
            if not missing:
                break
            for line in missing:
                low[line], high[line] = high[line], 2 * high[line]
        hopeless = self._late(high) if missing else set()
        open_lines = [line for line in high if line not in hopeless]
        while any(high[line] - low[line] > max(1, high[line] // 25) for line in open_lines):
            tried = {**high, **{line: (low[line] + high[line] + 1) // 2 for line in open_lines}}
            late = self._late(tried)
            for line in open_lines:
                (low if line in late else high)[line] = tried[line]
        return {line: None if line in hopeless else slots for line, slots in high.items()}

    def _late(self, slots: Mapping[Line, int]) -> set[Line]:
        (found,) = self._measure(slots, 1)
        return {
            line
            for line in slots
            if quantile(found.waits.get(line, []), SHARE) > self._platform.queues[line[0]].target_wait_seconds
            or (not found.waits.get(line) and found.left_waiting.get(line))
        }

    def _by_formula(self, line: Line) -> int:
        seconds, variation = self._moments(line)
        target = self._platform.queues[line[0]].target_wait_seconds
        dispatch = self._busy.dispatch_seconds.mean
        return slots_for(self._offered[line], seconds, variation, max(0.0, target - dispatch))

    def _formula(self, line: Line, slots: int) -> float:
        seconds, variation = self._moments(line)
        return self._busy.dispatch_seconds.mean + wait_quantile(
            slots, self._offered[line], seconds, variation
        )

    def _moments(self, line: Line) -> tuple[float, float]:
        """Mean seconds in a slot, and the mean of the squared variations of arrivals (in batches) and of times."""
        weights: dict[str, float] = defaultdict(float)
        for task in self._busy.tasks:
            rate = sum(
                rate
                for tier, rate in task.arrivals.items()
                if (task.queue, self._platform.tiers[tier].pool) == line
            ) * (1 - task.given_again)
            for step in task.steps:
                steps = rate * step.steps_a_run
                at_once = (
                    step.count.mean_square / step.count.mean if step.count.mean and not step.is_loop else 1.0
                )
                weights["steps"] += steps
                weights["seconds"] += steps * step.slot_seconds.mean
                weights["squares"] += steps * step.slot_seconds.mean_square
                weights["batches"] += steps * at_once * (task.burstiness if self._more_tenants < 2 else 1.0)
        if not weights["steps"]:
            return 0.0, 1.0
        seconds = weights["seconds"] / weights["steps"]
        of_times = weights["squares"] / weights["steps"] / seconds**2 - 1 if seconds else 1.0
        return seconds, (weights["batches"] / weights["steps"] + of_times) / 2


def with_own_stations(platform: Platform, slots: Mapping[Line, int]) -> Platform:
    """A platform whose lines each have workers of their own."""
    stations = tuple(
        Station(f"{queue}.{pool}", count, frozenset({(queue, pool)}))
        for (queue, pool), count in slots.items()
    )
    return replace(platform, stations=stations)
