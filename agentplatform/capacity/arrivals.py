"""How runs arrive in a simulation, and from which tenants."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heapreplace

from agentplatform.capacity.admission import Tenant
from agentplatform.capacity.draws import Draw
from agentplatform.capacity.model import Platform, TierLimits, Workload

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
    """The tenants of a tier, and how much of its runs are each one's. There may be millions: they are made as they come."""

    tier: str
    limits: TierLimits
    first_number: int
    copies: int
    measured: Draw
    made: dict[int, Tenant] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return self.copies * len(self.measured.values)

    def draw(self, chance: random.Random) -> Tenant:
        one = int(self.measured.draw(chance))
        copy = chance.randrange(self.copies) if self.copies > 1 else 0
        return self.at(one + len(self.measured.values) * copy)

    def at(self, place: int) -> Tenant:
        place %= self.count
        if place not in self.made:
            self.made[place] = Tenant(self.first_number + place, self.tier, self.limits)
        return self.made[place]


def tenants_of(workload: Workload, platform: Platform, growth: float) -> dict[str, Tenants]:
    """The tenants of each tier that runs come from, `growth` times as many as were measured."""
    made: dict[str, Tenants] = {}
    number, copies = 0, max(1, round(growth))
    for tier in sorted({tier for task in workload.tasks for tier in task.arrivals}):
        shares = workload.tenant_shares.get(tier) or EVEN
        measured = Draw.of((float(place), share) for place, share in enumerate(shares))
        made[tier] = Tenants(tier, platform.tiers[tier], number, copies, measured)
        number += made[tier].count
    return made
