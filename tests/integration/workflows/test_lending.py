"""Slots of workers that are lent or serve several queues, and the signal that says how queues stand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.db.models.functions import Now

from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create, tenant_limit
from apps.workflows.accounting import StepAccounts
from apps.workflows.dispatching import review_lanes
from apps.workflows.heartbeat import heartbeat_write
from apps.workflows.models import Heartbeat, QueueConfig, Step, Workflow
from apps.workflows.selectors import QueueSignal, lendable_workers, queue_signals
from tests.integration.conftest import Hand

Submit = Callable[..., Workflow]


def signal_of(queue: str, pool: str = "shared") -> QueueSignal:
    """How a queue stands."""
    return next(one for one in queue_signals() if (one.queue, one.pool) == (queue, pool))


def lendable(serves: str) -> Hand:
    """A worker of the batch queue that may be lent, and serves this one."""
    hand = Hand("lendable", queue=serves, slots=15)
    Heartbeat.objects.filter(name="lendable").update(
        node="batch-lendable@here", home=["batch"], is_lendable=True
    )
    return hand


def test_a_lent_workers_slots_count_where_it_serves(submit: Submit, tenant: Tenant) -> None:
    """Except for those on which it still runs steps of its own queue, which hold up nobody there."""
    standard, batch = Hand("own", slots=5), Hand("batch", queue="batch", slots=5)
    worker = lendable("batch")
    for _ in range(20):
        submit("one_noop", queue="batch")
    for hint in worker.admit()[:3]:
        worker.store.claim(*hint)
    Step.objects.filter(status="dispatched").update(status="ready")
    lendable("standard")
    assert (signal_of("standard").slots, signal_of("standard").free) == (20, 17)
    assert (signal_of("batch").slots, signal_of("batch").free) == (5, 5)
    for _ in range(30):
        submit("one_noop")
    assert len(standard.admit()) == 17
    assert len(batch.admit()) == 5


def test_a_worker_of_several_queues_gives_each_slot_once(submit: Submit, hand: Hand) -> None:
    """Its ten slots are not thirty."""
    big = tenant_create(name="big", tier="enterprise")
    queues = [f"{queue}.enterprise" for queue in ("interactive", "standard", "batch")]
    heartbeat_write("enterprise", kind="worker", queues=queues, slots=10)
    for queue in ("interactive", "standard", "batch"):
        for _ in range(6):
            submit("one_noop", tenant=big, queue=queue)
    admitted = [len(Hand(queue, queue=queue).admit()) for queue in ("interactive", "standard", "batch")]
    assert admitted == [6, 4, 0]


def test_only_live_workers_that_are_named_so_are_lendable(transactional_db: None) -> None:
    """With the queue that they were started for, and those that they serve."""
    lendable("standard")
    heartbeat_write("other", kind="worker", queues=["batch"], slots=5, home=["batch"], node="batch@here")
    (worker,) = lendable_workers()
    assert (worker.node, worker.home, worker.lent_to, worker.slots) == (
        "batch-lendable@here",
        "batch",
        "standard",
        15,
    )
    Heartbeat.objects.update(beat_at=Now() - timedelta(seconds=30))
    assert lendable_workers() == []


def test_the_signal_says_how_long_steps_wait_and_how_much_work_there_is(
    submit: Submit, hand: Hand, tenant: Tenant
) -> None:
    """The longest wait, and the backlog by how long steps took."""
    for _ in range(4):
        submit("one_noop")
    step = hand.claim_next()
    Step.objects.filter(status="ready").update(ready_at=Now() - timedelta(seconds=30))
    counted = StepAccounts()
    counted.used(step, 0)
    counted.took(step, 2.5)
    counted.tell()
    signal = signal_of("standard")
    assert (signal.ready, signal.active, signal.slots) == (3, 1, 100)
    assert 30 <= signal.oldest_wait_seconds < 40
    assert signal.slot_wait_seconds == signal.oldest_wait_seconds
    assert abs(signal.backlog.work_seconds - 7.5) < 0.1
    assert signal_of("interactive").backlog.drain_seconds == 0.0


def test_waits_for_a_tenants_own_limits_ask_for_no_workers(
    submit: Submit, hand: Hand, tenant: Tenant
) -> None:
    """They show as waits, and not as waits for a slot; once there is room, as both."""
    tenant_limit(tenant, {"steps_per_minute": 1})
    for _ in range(3):
        submit("one_noop")
    assert len(hand.admit()) == 1
    Step.objects.filter(status="ready").update(ready_at=Now() - timedelta(seconds=30))
    assert signal_of("standard").oldest_wait_seconds >= 30
    assert signal_of("standard").slot_wait_seconds == 0
    tenant_limit(tenant, {"steps_per_minute": 600})
    QueueConfig.objects.filter(name="standard").update(max_concurrent=1)
    review_lanes()
    assert signal_of("standard").slot_wait_seconds >= 30 or hand.admit() == []
