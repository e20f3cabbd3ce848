"""How runs arrive in a simulation, and from which tenants."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heapreplace

from agentplatform.capacity.admission import Tenant
from agentplatform.capacity.draws import Draw
from agentplatform.capacity.model import Platform, Workload

MOST_STREAMS = 32
"""Of more streams than so many, that arrive independently, nothing is left but chance."""

EVEN = (1.0,)


def arrival_gaps(chance: random.Random, rate: float, burstiness: float, streams: int) -> Iterator[float]:
    """Seconds from one arrival to the next, for ever: of so many equal streams that know nothing of each other.

    Each has times between arrivals of this squared coefficient of variation: gamma below 1, hyperexponential above.
    """
    if rate <= 0:
        return
    if abs(burstiness - 1.0) < 1e-9 or streams >= MOST_STREAMS:
        while True:
            yield chance.expovariate(rate)
    each = rate / streams
    following = [_gap(chance, each, burstiness) * chance.random() for _ in range(streams)]
    heapify(following)
    now = 0.0
    while True:
        at = following[0]
        yield at - now
        now = at
        heapreplace(following, at + _gap(chance, each, burstiness))


def _gap(chance: random.Random, rate: float, burstiness: float) -> float:
    if burstiness <= 0:
        return 1 / rate
    if burstiness <= 1:
        return chance.gammavariate(1 / burstiness, burstiness / rate)
    # Two phases with balanced means (Whitt, 1982).
    first = 0.5 * (1 + math.sqrt((burstiness - 1) / (burstiness + 1)))
    return chance.expovariate(2 * rate * (first if chance.random() < first else 1 - first))


@dataclass(slots=True)
class Tenants:
    """The tenants of a tier, and how much of its runs are each one's."""

    tenants: list[Tenant]
    numbers: Draw

    def draw(self, chance: random.Random) -> Tenant:
        return self.tenants[int(self.numbers.draw(chance))]


def tenants_of(workload: Workload, platform: Platform, growth: float) -> dict[str, Tenants]:
    """The tenants of each tier that runs come from, `growth` times as many as were measured."""
    made: dict[str, Tenants] = {}
    number = 0
    for tier in sorted({tier for task in workload.tasks for tier in task.arrivals}):
        shares = workload.tenant_shares.get(tier) or EVEN
        copies = max(1, round(growth))
        tenants = [
            Tenant(number + place, tier, platform.tiers[tier]) for place in range(copies * len(shares))
        ]
        number += len(tenants)
        points = [(float(place), shares[place % len(shares)]) for place in range(len(tenants))]
        whole = sum(share for _, share in points)
        cumulative, passed = [], 0.0
        for _, share in points:
            passed += share / whole
            cumulative.append(passed)
        made[tier] = Tenants(tenants, Draw(tuple(value for value, _ in points), tuple(cumulative), 0.0, 0.0))
    return made
