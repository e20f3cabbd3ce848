"""Queues as decisions: why a ready step waits, and which workers are lent to which queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self


class QueueWait(StrEnum):
    """What a ready step waits for, in the order in which it is looked for."""

    TENANT_SUSPENDED = "tenant_suspended"
    NO_WORKER = "no_worker"
    TENANT_CONCURRENCY = "tenant_concurrency"
    TENANT_RATE = "tenant_rate"
    TIER_CONCURRENCY = "tier_concurrency"
    QUEUE_FULL = "queue_full"
    SHARE_CAP = "share_cap"
    SLOTS_BUSY = "slots_busy"
    TURN = "turn"


@dataclass(frozen=True, slots=True)
class LaneFacts:
    """Everything that decides whether a ready step of a tenant is admitted to a queue.

    `…_active` count steps under way, `…_most` are limits (None: there is none); `…_here` is the tenant's in this
    queue. Slots are those of the tenant's pool of workers. `others_wait` also while another was served just now.
    """

    tenant_is_active: bool
    pool_slots: int
    pool_free: int
    queue_active: int
    queue_most: int
    tier_active: int
    tier_most: int | None
    tenant_active: int
    tenant_most: int
    tenant_here: int
    share_cap: int
    others_wait: bool
    steps_wait_seconds: float
    tokens_wait_seconds: float

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """From what `workflows_lane_facts` returns; a pool without any worker has no slots."""
        return cls(**{field.name: data[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class WaitReason:
    """Why a step waits: a stable code, and a sentence for people."""

    code: QueueWait
    message: str


def why_ready_waits(facts: LaneFacts) -> WaitReason:
    """The first reason for which a ready step is not admitted now, as admission itself looks for one."""
    rate_wait = max(facts.steps_wait_seconds, facts.tokens_wait_seconds)
    unit = "steps" if facts.steps_wait_seconds >= facts.tokens_wait_seconds else "tokens"
    reasons = (
        (
            not facts.tenant_is_active,
            QueueWait.TENANT_SUSPENDED,
            "The tenant is suspended; an operator can reactivate it.",
        ),
        (not facts.pool_slots, QueueWait.NO_WORKER, "No live worker serves this queue; start one."),
        (
            facts.tenant_active >= facts.tenant_most,
            QueueWait.TENANT_CONCURRENCY,
            f"{facts.tenant_active} of the tenant's steps are under way, and it may have {facts.tenant_most}.",
        ),
        (
            rate_wait > 0,
            QueueWait.TENANT_RATE,
            f"The tenant has used its {unit} per minute; there is room in {rate_wait:.1f} s.",
        ),
        (
            facts.tier_most is not None and facts.tier_active >= facts.tier_most,
            QueueWait.TIER_CONCURRENCY,
            f"{facts.tier_active} steps of the tenant's tier are under way in this queue, its limit.",
        ),
        (
            facts.queue_active >= facts.queue_most,
            QueueWait.QUEUE_FULL,
            f"{facts.queue_active} steps are under way in this queue, its limit.",
        ),
        (
            facts.others_wait and facts.tenant_here >= facts.share_cap,
            QueueWait.SHARE_CAP,
            f"The tenant has {facts.tenant_here} slots, as many as one may have while others wait or come again.",
        ),
        (
            facts.pool_free <= 0,
            QueueWait.SLOTS_BUSY,
            f"All {facts.pool_slots} slots of live workers are busy; steps are taken in fair order.",
        ),
    )
    for holds, code, message in reasons:
        if holds:
            return WaitReason(code, message)
    return WaitReason(QueueWait.TURN, "It is taken as soon as its turn comes.")


DRAINED_SECONDS = 1.0
"""A queue whose steps wait less long than this for a slot needs none of another queue."""


@dataclass(frozen=True, slots=True)
class QueueDemand:
    """A queue as lending sees it. `slot_wait_seconds` is the longest wait that another slot would end."""

    name: str
    priority: int
    slot_wait_seconds: float
    live_slots: int
    dedicated_slots: int
    lendable_slots: int
    borrowable_slots: int
    borrow_after_seconds: float


@dataclass(frozen=True, slots=True)
class LendableWorker:
    """A worker that may be lent: the queue it was started for, and the queues that it serves now."""

    node: str
    home: str
    serves: frozenset[str]
    slots: int

    @property
    def lent_to(self) -> str | None:
        """The queue that it is lent to; None at home."""
        return min(self.serves - {self.home}, default=None)


@dataclass(frozen=True, slots=True)
class Move:
    """A worker is to serve one queue and no others."""

    node: str
    serve: str
    leave: frozenset[str]


def lending_moves(queues: Sequence[QueueDemand], workers: Sequence[LendableWorker]) -> list[Move]:
    """Which workers are to serve another queue than they do.

    A worker is lent, whole, to the most urgent queue whose steps wait for slots longer than it puts up with, within
    what that queue may borrow and the worker's own may lend; it is taken back when hardly anything waits there any
    more, or the limits no longer allow it. What a queue does not lend it always keeps. A move that was lost is found again,
    since the decision is made on what workers serve and not on what they were told.
    """
    by_name = {queue.name: queue for queue in queues}
    known = [worker for worker in workers if worker.home in by_name]
    kept: dict[str, str] = {}
    for worker in sorted(known, key=lambda one: one.node):
        borrower = by_name.get(worker.lent_to or "")
        is_needed = borrower is not None and borrower.slot_wait_seconds >= DRAINED_SECONDS
        if borrower is not None and is_needed and _fits(worker, borrower, known, kept, by_name):
            kept[worker.node] = borrower.name
    live = {queue.name: queue.live_slots for queue in queues}
    for borrower in sorted(queues, key=lambda one: -one.priority):
        if borrower.slot_wait_seconds < max(borrower.borrow_after_seconds, DRAINED_SECONDS):
            continue
        for worker in sorted(known, key=lambda one: (-one.slots, one.node)):
            home = by_name[worker.home]
            serving = worker.slots if home.name in worker.serves else 0
            leaves_floor = live[home.name] - serving >= home.dedicated_slots - home.lendable_slots
            is_free = worker.node not in kept and home.priority < borrower.priority
            if is_free and leaves_floor and _fits(worker, borrower, known, kept, by_name):
                kept[worker.node] = borrower.name
                live[home.name] -= serving
    moves = []
    for worker in known:
        wanted = kept.get(worker.node, worker.home)
        if worker.serves != {wanted}:
            moves.append(Move(worker.node, wanted, worker.serves - {wanted}))
    return moves


def _fits(
    worker: LendableWorker,
    borrower: QueueDemand,
    workers: Sequence[LendableWorker],
    lent: Mapping[str, str],
    queues: Mapping[str, QueueDemand],
) -> bool:
    """Whether the borrower may have this worker too, and its own queue may lend it, beside those that are `lent`."""
    borrowed = sum(one.slots for one in workers if lent.get(one.node) == borrower.name)
    lent_out = sum(one.slots for one in workers if one.home == worker.home and one.node in lent)
    return (
        borrowed + worker.slots <= borrower.borrowable_slots
        and lent_out + worker.slots <= queues[worker.home].lendable_slots
    )


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much work waits: in seconds of one slot, and until it is done by those there are (None without any)."""

    work_seconds: float
    drain_seconds: float | None


def backlog_of(*, ready: int, mean_step_seconds: float | None, slots: int) -> Backlog:
    """The backlog of a queue, by how long its steps took lately; a second each where none has ended yet."""
    work_seconds = ready * (1.0 if mean_step_seconds is None else mean_step_seconds)
    return Backlog(work_seconds, work_seconds / slots if slots else (0.0 if not ready else None))
