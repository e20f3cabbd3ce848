"""Limits of tenants, tiers and queues, and each tenant's share: in admission, and for steps that go on without it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from agentplatform.workflows.queueing import QueueWait, why_ready_waits
from apps.database import call_function
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create, tenant_limit, tenant_suspend
from apps.workflows.accounting import StepAccounts, accounts
from apps.workflows.dispatching import review_lanes
from apps.workflows.models import Allowance, Lane, QueueConfig, QueuePool, Step, Workflow
from apps.workflows.selectors import lane_facts
from tests.integration.conftest import Hand
from tests.integration.workflows.test_admission import admitted_tenants

Submit = Callable[..., Workflow]


@pytest.fixture(autouse=True)
def _nothing_counted() -> None:
    """What other tests have counted and not told is not this one's."""
    accounts._counts.clear()


def wait_of(tenant: Tenant, queue: str = "standard") -> QueueWait:
    """Why the tenant's ready steps wait."""
    return why_ready_waits(lane_facts(queue, tenant.pk)).code


def later(tenant: Tenant, seconds: float) -> None:
    """Lets so much time pass for the tenant's allowance."""
    row = Allowance.objects.get(tenant=tenant)
    for name in ("steps_due_at", "tokens_due_at"):
        due = getattr(row, name)
        setattr(row, name, due.fromtimestamp(due.timestamp() - seconds, due.tzinfo))
    row.save()


def test_a_tenants_limit_of_steps_at_once_holds_over_all_queues(submit: Submit, hand: Hand) -> None:
    """Five for a free tenant, wherever they run."""
    free = tenant_create(name="free one", tier="free")
    other = Hand(name="other", queue="batch")
    for _ in range(4):
        submit("one_noop", tenant=free)
        submit("one_noop", tenant=free, queue="batch")
    assert len(hand.admit(3)) == 3
    assert len(other.admit()) == 2
    assert hand.admit() == []
    assert wait_of(free) == QueueWait.TENANT_CONCURRENCY


def test_a_tenants_own_limits_take_the_place_of_its_tiers(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """Until they are taken back."""
    tenant_limit(tenant, {"max_concurrent_steps": 2})
    for _ in range(6):
        submit("one_noop")
    assert len(hand.admit()) == 2
    tenant_limit(tenant, {"max_concurrent_steps": None})
    assert len(hand.admit()) == 4


def test_a_step_over_the_rate_waits_without_a_slot(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """Three a minute: three at once, and one more every twenty seconds."""
    tenant_limit(tenant, {"steps_per_minute": 3})
    for _ in range(5):
        submit("one_noop")
    assert len(hand.admit()) == 3
    assert hand.admit() == []
    assert wait_of(tenant) == QueueWait.TENANT_RATE
    assert Step.objects.filter(status="ready").count() == 2
    later(tenant, 20)
    assert len(hand.admit()) == 1
    assert hand.admit() == []


def test_tokens_a_minute_are_counted_as_estimated(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """A hundred each: a limit of 250 lets two through, and one that costs more than the limit goes alone."""
    tenant_limit(tenant, {"tokens_per_minute": 250})
    for _ in range(3):
        submit("one_noop")
    assert len(hand.admit()) == 2
    assert wait_of(tenant) == QueueWait.TENANT_RATE
    tenant_limit(tenant, {"tokens_per_minute": 60})
    later(tenant, 600)
    assert len(hand.admit()) == 1


def test_one_tenants_rate_holds_up_nobody_else(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """Its lane is passed over, and does not count as waiting for the others."""
    slow = tenant_create(name="slow", tier="standard", limits={"steps_per_minute": 1})
    for _ in range(3):
        submit("one_noop", tenant=slow)
    for _ in range(10):
        submit("one_noop")
    assert Counter(admitted_tenants(hand, 11)) == {"slow": 1, "acme": 10}
    assert Lane.objects.get(tenant=slow).held
    submit("one_noop")
    QueueConfig.objects.update(recent_tenants={})  # as if its one step had been admitted a while ago
    assert not lane_facts("standard", tenant.pk).others_wait


def test_no_tenant_takes_more_than_its_share_while_others_wait(submit: Submit, tenant: Tenant) -> None:
    """Ten slots: eight for the one with a thousand times the weight; all ten once it has been alone for two seconds."""
    hand = Hand(slots=10)
    tenant_limit(tenant, {"weight": 1000})
    small = tenant_create(name="small", tier="standard", limits={"weight": 1})
    for _ in range(30):
        submit("one_noop")
    for _ in range(3):
        submit("one_noop", tenant=small)
    assert Counter(admitted_tenants(hand, 10)) == {"acme": 8, "small": 2}
    assert wait_of(tenant) == QueueWait.SHARE_CAP
    for step in Step.objects.filter(status="dispatched", tenant=small):
        claimed = hand.store.claim(step.pk, 1)
        assert claimed is not None
        hand.finish(claimed, {})
    assert admitted_tenants(hand, 10) == ["small"]
    assert wait_of(tenant) == QueueWait.SHARE_CAP
    time.sleep(2.1)
    assert admitted_tenants(hand, 10) == ["acme"]


def test_a_tenant_that_has_all_slots_gives_them_back_when_another_comes(
    submit: Submit, tenant: Tenant
) -> None:
    """Its steps no longer go on in the same slot, although its turn would allow it."""
    hand = Hand(slots=5)
    for _ in range(5):
        submit("ten_noops")
    steps = [hand.store.claim(*hint) for hint in hand.admit()]
    step = hand.finish(steps[0], {}, may_continue=True).next_step  # type: ignore[arg-type]
    assert step is not None
    other = tenant_create(name="other", tier="standard")
    submit("one_noop", tenant=other)
    assert hand.finish(step, {}, may_continue=True).next_step is None
    assert admitted_tenants(hand, 5) == ["other"]
    # Four of five slots are its share: with these it goes on.
    assert hand.finish(steps[1], {}, may_continue=True).next_step is not None  # type: ignore[arg-type]


def test_shares_match_weights(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """Three tenants with a backlog, weights 1, 2 and 4: within five percent."""
    tenant_limit(tenant, {"weight": 1})
    double = tenant_create(name="double", tier="standard", limits={"weight": 2})
    fourfold = tenant_create(name="fourfold", tier="standard", limits={"weight": 4})
    for _ in range(45):
        submit("one_noop")
        submit("one_noop", tenant=double)
        submit("one_noop", tenant=fourfold)
    counts: Counter[str] = Counter()
    while sum(counts.values()) < 70:
        counts.update(admitted_tenants(hand, 7))
        Step.objects.filter(status="dispatched").update(status="succeeded")
    assert counts == {"acme": 10, "double": 20, "fourfold": 40}


def test_the_last_slots_are_left_to_a_tier_that_has_less_than_its_own(submit: Submit, tenant: Tenant) -> None:
    """Twenty standard tenants stand against one of the free tier, which is guaranteed a fifth."""
    hand = Hand(slots=10)
    QueuePool.objects.filter(queue="standard", tier="free").update(guaranteed_percent=20)
    free = tenant_create(name="free one", tier="free")
    Lane.objects.create(queue_id="standard", tenant=free, virtual_time=1e6, backlogged=True)
    for number in range(20):
        one = tenant_create(name=f"standard {number}", tier="standard")
        submit("one_noop", tenant=one)
    for _ in range(4):
        submit("one_noop", tenant=free)
    assert Counter(admitted_tenants(hand, 10))["free one"] == 2


def test_a_tiers_limit_in_a_queue_holds_for_all_its_tenants(submit: Submit, hand: Hand) -> None:
    """Together, beside those of others."""
    QueuePool.objects.filter(queue="standard", tier="free").update(max_concurrent=3)
    tenants = [tenant_create(name=f"free {number}", tier="free") for number in range(3)]
    for one in tenants:
        submit("one_noop", tenant=one)
        submit("one_noop", tenant=one)
    assert len(hand.admit()) == 3
    assert wait_of(tenants[0]) == QueueWait.TIER_CONCURRENCY
    submit("one_noop")
    assert admitted_tenants(hand, 5) == ["acme"]


def test_what_a_step_has_used_is_charged_in_place_of_what_was_estimated(
    submit: Submit, hand: Hand, tenant: Tenant
) -> None:
    """The difference, over the tenant's weight of 4; at most ten quanta a step."""
    submit("one_noop")
    submit("one_noop")
    counted = StepAccounts()
    step = hand.claim_next()
    before = Lane.objects.get(tenant=tenant).virtual_time
    counted.used(step, 4_100)
    counted.tell()
    assert Lane.objects.get(tenant=tenant).virtual_time == before + 1_000
    counted.used(step, 10)  # coordination costs what a step without calls is estimated at
    counted.tell()
    assert Lane.objects.get(tenant=tenant).virtual_time == before + 1_000
    counted.used(step, 5_000_000)
    counted.tell()
    assert Lane.objects.get(tenant=tenant).virtual_time == before + 1_000 + 25_000
    assert wait_of(tenant) == QueueWait.TURN
    counted.used(step, 5_000_000)
    counted.used(step, 5_000_000)
    counted.tell()
    assert wait_of(tenant) == QueueWait.TENANT_RATE


def test_a_finish_counts_the_tokens_of_its_calls(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """And how many steps ended."""
    submit("one_noop")
    hand.finish(hand.claim_next(), {})
    (counts,) = accounts._counts.values()
    assert (counts.ended, counts.correction_tokens, counts.continued) == (1, 0, 0)


def test_what_goes_on_without_admission_is_counted_too(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """Within a second; and a tenant that has used half a minute's worth goes through admission."""
    tenant_limit(tenant, {"steps_per_minute": 10})
    submit("ten_noops")
    step = hand.claim_next()
    for _ in range(5):
        next_step = hand.finish(step, {}, may_continue=True).next_step
        assert next_step is not None
        step = next_step
    accounts.tell()
    assert hand.finish(step, {}, may_continue=True).next_step is None
    admitted = 0
    while hints := hand.admit():
        admitted += 1
        claimed = hand.store.claim(*hints[0])
        assert claimed is not None
        hand.finish(claimed, {}, may_continue=True)
    assert admitted == 4
    assert wait_of(tenant) == QueueWait.TENANT_RATE or not Step.objects.filter(status="ready").exists()


def test_lowered_limits_hold_for_steps_that_go_on(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """Of the queue and of the tenant, at the next look at the lanes."""
    for _ in range(3):
        submit("ten_noops")
    steps = [hand.store.claim(*hint) for hint in hand.admit()]
    QueueConfig.objects.filter(name="standard").update(max_concurrent=2)
    review_lanes()
    assert hand.finish(steps[0], {}, may_continue=True).next_step is None  # type: ignore[arg-type]
    QueueConfig.objects.filter(name="standard").update(max_concurrent=100)
    tenant_limit(tenant, {"max_concurrent_steps": 1})
    review_lanes()
    assert hand.finish(steps[1], {}, may_continue=True).next_step is None  # type: ignore[arg-type]
    tenant_limit(tenant, {"max_concurrent_steps": None})
    review_lanes()
    assert hand.finish(steps[2], {}, may_continue=True).next_step is not None  # type: ignore[arg-type]


def test_pools_of_workers_keep_times_of_their_own(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """What enterprise workers get through does not level the weights of the others."""
    Hand(name="enterprise", queue="standard.enterprise", slots=100)
    big = tenant_create(name="big", tier="enterprise", limits={"weight": 1})
    free = tenant_create(name="free one", tier="free")
    for _ in range(40):
        submit("one_noop", tenant=big)
    assert len(hand.admit(40)) == 40
    for _ in range(15):
        submit("one_noop")
        submit("one_noop", tenant=free)
    assert Counter(admitted_tenants(hand, 10)) == {"acme": 8, "free one": 2}


def test_a_suspended_tenants_steps_say_so(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """And a queue without workers says that."""
    submit("one_noop")
    tenant_suspend(tenant)
    assert wait_of(tenant) == QueueWait.TENANT_SUSPENDED
    other = tenant_create(name="other", tier="standard")
    submit("one_noop", tenant=other, queue="batch")
    assert wait_of(other, "batch") == QueueWait.NO_WORKER


def test_two_admissions_at_once_keep_to_the_limits(submit: Submit, hand: Hand) -> None:
    """Admission over all queues at once finds what each alone would."""
    Hand(name="batch", queue="batch", slots=10)
    free = tenant_create(name="free one", tier="free")
    for queue in ("standard", "batch"):
        for _ in range(5):
            submit("one_noop", tenant=free, queue=queue)
    assert len(call_function("workflows_admit_all", [100], ["int"])) == 5
