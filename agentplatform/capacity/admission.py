"""Admission in a simulation: which ready step is the next to get a slot, as the database decides it.

Start-time fair queueing over the lanes of a queue, within slots, the limits of queue, tier and tenant, and a tenant's
allowances a minute (apps/workflows, workflows_admit). Left out: corrections of estimates at a step's end.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import Any

from agentplatform.capacity.model import Platform, Station, TierLimits
from agentplatform.rates import MINUTE_SECONDS

SEEN_SECONDS = 2.0
"""So long after another tenant was served, it counts as one that may come again."""

SHARE_CAP = 0.8
"""The most of a pool's slots that one tenant holds while others wait."""

CONTINUATION_SLACK_SECONDS = 30.0
"""How far a tenant may be into its allowances and still go on without admission."""


@dataclass(slots=True)
class Tenant:
    """One tenant as it stands: what it has under way, and when its allowances will be whole again."""

    number: int
    tier: str
    limits: TierLimits
    active: int = 0
    requests_due: float = 0.0
    steps_due: float = 0.0
    tokens_due: float = 0.0


@dataclass(order=True, slots=True)
class Waiting:
    """A ready step in its lane: a tenant's earlier runs go first."""

    order: tuple[int, int]
    tokens: int = field(compare=False)
    what: tuple[Any, Any, float, bool] = field(compare=False)
    """Its run, its step, since when it is ready, and whether it is among the first of its run."""


@dataclass(slots=True)
class Lane:
    tenant: Tenant
    waiting: list[Waiting] = field(default_factory=list)
    virtual_time: float = 0.0
    active: int = 0
    held: bool = False

    @property
    def place(self) -> tuple[float, int]:
        """Where it stands among lanes: who has had least comes first."""
        return self.virtual_time, self.tenant.number


@dataclass(slots=True)
class Server:
    """Workers with slots; what it serves may change, when it is lent."""

    station: Station
    serves: frozenset[tuple[str, str]]
    busy: int = 0

    @property
    def free(self) -> int:
        return self.station.slots - self.busy


class Line:
    """The lanes of one queue for one pool of workers. `now` tells the time."""

    def __init__(self, platform: Platform, queue: str, pool: str, servers: list[Server]) -> None:
        self.settings = platform.queues[queue]
        self.key = (queue, pool)
        self.tiers = [tier for tier in platform.tiers.values() if tier.pool == pool]
        self.servers = servers
        self.lanes: dict[int, Lane] = {}
        self._order: list[tuple[float, int]] = []  # what has a backlog: virtual time, tenant
        self.virtual_time = 0.0
        self.tier_active: dict[str, int] = {tier.name: 0 for tier in self.tiers}
        self._recent: list[tuple[int, float]] = []

    @property
    def backlogged(self) -> Iterator[Lane]:
        """The lanes in which something is ready, by virtual time. No lane may be moved meanwhile."""
        return (self.lanes[tenant] for _, tenant in self._order)

    @property
    def has_backlog(self) -> bool:
        return bool(self._order)

    @property
    def active(self) -> int:
        return sum(self.tier_active.values())

    @property
    def slots(self) -> int:
        return sum(server.station.slots for server in self.servers if self.key in server.serves)

    def free_server(self) -> Server | None:
        for server in self.servers:
            if self.key in server.serves and server.busy < server.station.slots:
                return server
        return None

    def add(self, tenant: Tenant, waiting: Waiting) -> None:
        """A step is ready. A lane that had nothing begins at the present virtual time."""
        lane = self.lanes.get(tenant.number)
        if lane is None:
            lane = self.lanes[tenant.number] = Lane(tenant)
        if not lane.waiting:
            lane.virtual_time = max(lane.virtual_time, self.virtual_time)
            insort(self._order, lane.place)
        heappush(lane.waiting, waiting)

    def admit(self, now: float, queue_active: int) -> tuple[Lane, Waiting, Server] | None:
        """Takes the next step that may start now, and counts it; None when there is none."""
        if not self._order or queue_active >= self.settings.max_concurrent:
            return None
        server = self.free_server()
        if server is None:
            return None
        lane = self._next_lane(now)
        if lane is None:
            return None
        start = max(lane.virtual_time, self.virtual_time) if lane.held else lane.virtual_time
        self.virtual_time = max(self.virtual_time, start)
        self._leave(lane)
        waiting = heappop(lane.waiting)
        lane.virtual_time = start + waiting.tokens / lane.tenant.limits.weight
        if lane.waiting:
            insort(self._order, lane.place)
        lane.held = False
        charge(lane.tenant, now, waiting.tokens)
        self._see(lane.tenant.number, now)
        self.take(lane, server)
        return lane, waiting, server

    def take(self, lane: Lane, server: Server) -> None:
        lane.active += 1
        lane.tenant.active += 1
        self.tier_active[lane.tenant.tier] += 1
        server.busy += 1

    def release(self, lane: Lane, server: Server) -> None:
        lane.active -= 1
        lane.tenant.active -= 1
        self.tier_active[lane.tenant.tier] -= 1
        server.busy -= 1

    def may_continue(self, lane: Lane, tokens: int, now: float) -> bool:
        """Whether a step that has just ended may be followed by the next of its run in the same slot."""
        tenant = lane.tenant
        if max(tenant.steps_due, tenant.tokens_due) > now + CONTINUATION_SLACK_SECONDS:
            return False
        others = (other for other in self.backlogged if other is not lane and not other.held)
        ahead_of_all = next(others, None)
        if ahead_of_all is None:
            return True
        if lane.active >= self._share_cap():
            return False
        first = ahead_of_all.virtual_time
        own = lane.virtual_time if lane.waiting else max(lane.virtual_time, self.virtual_time)
        ahead = self.settings.quantum_tokens / tenant.limits.weight
        limit = first + ahead if lane.waiting else max(first, self.virtual_time) + ahead
        if own > limit:
            return False
        self._move(lane, own + tokens / tenant.limits.weight)
        return True

    def next_room(self, now: float) -> float:
        """When a lane that is held by an allowance may go on; never, where nothing waits for one."""
        times = [now + wait for lane in self.backlogged if lane.held and (wait := _rate_wait(lane, now)) > 0]
        return min(times, default=inf)

    def longest_wait(self, now: float) -> float:
        """How long a step has waited for a slot that no limit of its tenant's own keeps back."""
        waits = [now - lane.waiting[0].what[2] for lane in self.backlogged if not lane.held]
        return max(waits, default=0.0)

    def _next_lane(self, now: float) -> Lane | None:
        free = sum(server.free for server in self.servers if self.key in server.serves)
        deferred = []
        for lane in self.backlogged:
            lane.held = self._is_held(lane, now)
            if lane.held:
                continue
            if lane.active < self._share_cap() and self._reserved(lane.tenant.tier) < free:
                return lane
            deferred.append(lane)
        for lane in deferred:
            if lane.active < self._share_cap() or not self._seen_beside(lane.tenant.number, now):
                return lane
            self._move(lane, max(lane.virtual_time, self.virtual_time))
        return None

    def _leave(self, lane: Lane) -> None:
        del self._order[bisect_left(self._order, lane.place)]

    def _move(self, lane: Lane, virtual_time: float) -> None:
        if lane.waiting:
            self._leave(lane)
            insort(self._order, (virtual_time, lane.tenant.number))
        lane.virtual_time = virtual_time

    def _is_held(self, lane: Lane, now: float) -> bool:
        tenant = lane.tenant
        most = self.settings.tier_most.get(tenant.tier, inf)
        return (
            tenant.active >= tenant.limits.max_concurrent_steps
            or self.tier_active[tenant.tier] >= most
            or _rate_wait(lane, now) > 0
        )

    def _share_cap(self) -> int:
        return max(1, int(SHARE_CAP * min(self.slots, self.settings.max_concurrent)))

    def _reserved(self, tier: str) -> int:
        """How many slots other tiers are still short of, of what they are guaranteed."""
        short = 0
        for name, percent in self.settings.guaranteed_percent.items():
            if percent and name != tier and name in self.tier_active and self._waits(name):
                short += max(0, int(percent / 100 * self.slots) - self.tier_active[name])
        return short

    def _waits(self, tier: str) -> bool:
        return any(lane.tenant.tier == tier and not lane.held for lane in self.backlogged)

    def _see(self, tenant: int, now: float) -> None:
        others = [(number, at) for number, at in self._recent if number != tenant]
        self._recent = [(tenant, now), *others[:1]]

    def _seen_beside(self, tenant: int, now: float) -> bool:
        return any(number != tenant and at > now - SEEN_SECONDS for number, at in self._recent)


def charge(tenant: Tenant, now: float, tokens: int) -> None:
    """Takes a step and its tokens from a tenant's allowances."""
    tenant.steps_due = max(tenant.steps_due, now) + MINUTE_SECONDS / tenant.limits.steps_per_minute
    tenant.tokens_due = (
        max(tenant.tokens_due, now) + MINUTE_SECONDS * tokens / tenant.limits.tokens_per_minute
    )


def _rate_wait(lane: Lane, now: float) -> float:
    limits, tokens = lane.tenant.limits, lane.waiting[0].tokens
    return max(
        wait_for(lane.tenant.steps_due - now, 1 / limits.steps_per_minute),
        wait_for(lane.tenant.tokens_due - now, tokens / limits.tokens_per_minute),
    )


def wait_for(used_seconds: float, cost_minutes: float) -> float:
    """Seconds until a minute's allowance, that is whole again in `used_seconds`, has room for so much of it."""
    return max(0.0, used_seconds - max(0.0, MINUTE_SECONDS * (1 - cost_minutes)))
