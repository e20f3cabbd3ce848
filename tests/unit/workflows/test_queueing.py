"""Why steps wait, and which workers are lent to which queue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.workflows.queueing import (
    LaneFacts,
    LendableWorker,
    Move,
    QueueDemand,
    QueueWait,
    backlog_of,
    lending_moves,
    why_ready_waits,
)

FREE = LaneFacts(
    tenant_is_active=True,
    pool_slots=10,
    pool_free=5,
    queue_active=5,
    queue_most=50,
    tier_active=5,
    tier_most=None,
    tenant_active=2,
    tenant_most=5,
    tenant_here=2,
    share_cap=8,
    others_wait=True,
    steps_wait_seconds=0.0,
    tokens_wait_seconds=0.0,
)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({}, QueueWait.TURN),
        ({"tenant_is_active": False}, QueueWait.TENANT_SUSPENDED),
        ({"pool_slots": 0, "pool_free": 0}, QueueWait.NO_WORKER),
        ({"tenant_active": 5}, QueueWait.TENANT_CONCURRENCY),
        ({"steps_wait_seconds": 3.0}, QueueWait.TENANT_RATE),
        ({"tokens_wait_seconds": 3.0}, QueueWait.TENANT_RATE),
        ({"tier_most": 5}, QueueWait.TIER_CONCURRENCY),
        ({"queue_active": 50}, QueueWait.QUEUE_FULL),
        ({"tenant_here": 8, "tenant_most": 50}, QueueWait.SHARE_CAP),
        ({"tenant_here": 8, "tenant_most": 50, "others_wait": False}, QueueWait.TURN),
        ({"pool_free": 0}, QueueWait.SLOTS_BUSY),
    ],
)
def test_a_ready_step_says_what_it_waits_for(facts: dict[str, Any], code: QueueWait) -> None:
    """One reason at a time, with a sentence."""
    reason = why_ready_waits(replace(FREE, **facts))
    assert reason.code == code
    assert reason.message.endswith(".")


INTERACTIVE = QueueDemand("interactive", 100, 0.0, 10, 10, 0, 0, 10.0)
STANDARD = QueueDemand("standard", 50, 0.0, 5, 5, 0, 15, 10.0)
BATCH = QueueDemand("batch", 10, 0.0, 20, 20, 15, 0, 10.0)
LENDABLE = LendableWorker("batch-lendable@host", "batch", frozenset({"batch"}), 15)
LENT = replace(LENDABLE, serves=frozenset({"standard"}))
BUSY = replace(STANDARD, slot_wait_seconds=12.0)
LEND = Move("batch-lendable@host", "standard", frozenset({"batch"}))
TAKE_BACK = Move("batch-lendable@host", "batch", frozenset({"standard"}))


def test_a_worker_is_lent_when_steps_have_waited_too_long() -> None:
    """Not before."""
    assert lending_moves([INTERACTIVE, BUSY, BATCH], [LENDABLE]) == [LEND]
    patient = replace(STANDARD, slot_wait_seconds=9.0)
    assert lending_moves([INTERACTIVE, patient, BATCH], [LENDABLE]) == []


def test_a_worker_is_taken_back_when_hardly_anything_waits() -> None:
    """And stays as long as something does."""
    lent_batch = replace(BATCH, live_slots=5)
    assert lending_moves([STANDARD, lent_batch], [LENT]) == [TAKE_BACK]
    still = replace(STANDARD, slot_wait_seconds=2.0, live_slots=20)
    assert lending_moves([still, lent_batch], [LENT]) == []


@pytest.mark.parametrize(
    "queues",
    [
        [BUSY, replace(BATCH, lendable_slots=10)],
        [BUSY, replace(BATCH, live_slots=15)],
        [replace(BUSY, borrowable_slots=14), BATCH],
        [replace(BUSY, priority=5), BATCH],
        [BUSY],
    ],
)
def test_nothing_is_lent_beyond_what_either_queue_allows(queues: list[QueueDemand]) -> None:
    """The lender's limit and its floor, the borrower's limit, and never to a queue that is less urgent."""
    assert lending_moves(queues, [LENDABLE]) == []


def test_a_changed_setting_takes_a_worker_back() -> None:
    """Although steps still wait."""
    assert lending_moves([BUSY, replace(BATCH, lendable_slots=0)], [LENT]) == [TAKE_BACK]
    assert lending_moves([replace(BUSY, borrowable_slots=0), BATCH], [LENT]) == [TAKE_BACK]


@pytest.mark.parametrize("serves", [frozenset({"batch", "standard"}), frozenset()])
def test_a_move_that_was_only_half_heard_is_made_again(serves: frozenset[str]) -> None:
    """A worker that serves both, or nothing, is told once more."""
    worker = replace(LENDABLE, serves=serves)
    assert lending_moves([BUSY, BATCH], [worker]) == [replace(LEND, leave=serves - {"standard"})]
    assert lending_moves([STANDARD, BATCH], [worker]) == [replace(TAKE_BACK, leave=serves - {"batch"})]


QUEUES = st.builds(
    QueueDemand,
    name=st.just(""),
    priority=st.integers(0, 100),
    slot_wait_seconds=st.floats(0, 100),
    live_slots=st.integers(0, 60),
    dedicated_slots=st.integers(0, 40),
    lendable_slots=st.integers(0, 40),
    borrowable_slots=st.integers(0, 40),
    borrow_after_seconds=st.floats(1, 50),
)


@given(
    queues=st.tuples(QUEUES, QUEUES, QUEUES),
    workers=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.integers(1, 20)), max_size=6
    ),
)
def test_after_all_moves_every_limit_holds_and_soon_nothing_moves(
    queues: tuple[QueueDemand, ...], workers: list[tuple[str, str, int]]
) -> None:
    """Whatever is lent to whom, while the waits stay as they are."""
    named = [replace(queue, name=name) for queue, name in zip(queues, "abc", strict=True)]
    serving = [
        LendableWorker(f"{number}@host", home, frozenset({serves}), slots)
        for number, (home, serves, slots) in enumerate(workers)
    ]
    for _ in range(len(serving) + 2):
        moves = {move.node: move.serve for move in lending_moves(_with_slots(named, serving), serving)}
        serving = [
            replace(worker, serves=frozenset({moves.get(worker.node, min(worker.serves))}))
            for worker in serving
        ]
        for queue in named:
            away = [worker for worker in serving if worker.home == queue.name and worker.lent_to]
            here = [worker for worker in serving if worker.lent_to == queue.name]
            assert sum(worker.slots for worker in away) <= queue.lendable_slots
            assert sum(worker.slots for worker in here) <= queue.borrowable_slots
    assert not moves


def _with_slots(queues: list[QueueDemand], workers: list[LendableWorker]) -> list[QueueDemand]:
    """The queues with the slots of these workers beside those of others."""
    return [
        replace(
            queue,
            live_slots=queue.live_slots
            + sum(worker.slots for worker in workers if queue.name in worker.serves),
        )
        for queue in queues
    ]


def test_a_backlog_is_told_in_seconds_of_work() -> None:
    """Without any worker nobody knows when it is done; without a measure a step counts as a second."""
    assert backlog_of(ready=40, mean_step_seconds=0.5, slots=10).work_seconds == 20.0
    assert backlog_of(ready=40, mean_step_seconds=0.5, slots=10).drain_seconds == 2.0
    assert backlog_of(ready=40, mean_step_seconds=None, slots=0).drain_seconds is None
    assert backlog_of(ready=0, mean_step_seconds=None, slots=0).drain_seconds == 0.0
