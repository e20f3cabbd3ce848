"""Lending of workers in a simulation: the dispatcher's own decision, on the simulated queues."""

from __future__ import annotations

from collections.abc import Sequence

from agentplatform.capacity.admission import Line, Server
from agentplatform.capacity.model import Platform
from agentplatform.workflows.queueing import LendableWorker, QueueDemand, lending_moves

SHARED = "shared"
"""The pool whose workers are lent."""


def lend(platform: Platform, lines: Sequence[Line], servers: Sequence[Server], now: float) -> bool:
    """Moves workers as `lending_moves` says; whether any was moved."""
    waits = {line.key[0]: line.longest_wait(now) for line in lines if line.key[1] == SHARED}
    demands = [
        QueueDemand(
            name=queue.name,
            priority=queue.priority,
            slot_wait_seconds=waits.get(queue.name, 0.0),
            live_slots=sum(one.station.slots for one in servers if (queue.name, SHARED) in one.serves),
            dedicated_slots=queue.dedicated_slots,
            lendable_slots=queue.lendable_slots,
            borrowable_slots=queue.borrowable_slots,
            borrow_after_seconds=queue.borrow_after_seconds,
        )
        for queue in platform.queues.values()
    ]
    by_name = {server.station.name: server for server in servers if server.station.is_lendable}
    workers = [
        LendableWorker(
            name,
            min(queue for queue, _ in server.station.serves),
            frozenset(queue for queue, _ in server.serves),
            server.station.slots,
        )
        for name, server in by_name.items()
    ]
    moves = lending_moves(demands, workers)
    for move in moves:
        by_name[move.node].serves = frozenset({(move.serve, SHARED)})
    return bool(moves)
