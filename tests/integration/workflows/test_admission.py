"""Admission: who goes next, and within what limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from apps.database import call_function
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create, tenant_reactivate, tenant_suspend
from apps.workflows.dispatching import mark_lost_lanes
from apps.workflows.models import Lane, QueueConfig, Step, Workflow
from tests.integration.conftest import Hand

Submit = Callable[..., Workflow]


def admitted_tenants(hand: Hand, limit: int) -> list[str]:
    """The names of the tenants whose steps are admitted, in order."""
    ids = [step_id for step_id, _ in hand.admit(limit)]
    names = dict(Step.objects.filter(pk__in=ids).values_list("pk", "tenant__name"))
    return [names[step_id] for step_id in ids]


def test_tenants_take_turns_however_much_one_submits(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """Ten steps of one tenant do not stand before the first of another."""
    other = tenant_create(name="other", tier="standard")
    for _ in range(10):
        submit("one_noop")
    for _ in range(2):
        submit("one_noop", tenant=other)
    assert Counter(admitted_tenants(hand, 4)) == {"acme": 2, "other": 2}


def test_a_heavier_tenant_gets_its_share(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """Weights 4 and 1: four steps to one."""
    free = tenant_create(name="free one", tier="free")
    for _ in range(20):
        submit("one_noop")
        submit("one_noop", tenant=free)
    assert Counter(admitted_tenants(hand, 10)) == {"acme": 8, "free one": 2}


def test_a_tenant_keeps_to_its_own_limit(submit: Submit, hand: Hand) -> None:
    """A free tenant runs five steps at once, and the sixth when one has ended."""
    free = tenant_create(name="free one", tier="free")
    for _ in range(7):
        submit("one_noop", tenant=free)
    hints = hand.admit()
    assert len(hints) == 5
    assert hand.admit() == []
    step = hand.store.claim(*hints[0])
    assert step is not None
    hand.finish(step, {})
    assert len(hand.admit()) == 1


def test_a_queue_keeps_to_its_limit(submit: Submit, hand: Hand) -> None:
    """`max_concurrent` holds over all tenants."""
    QueueConfig.objects.filter(name="standard").update(max_concurrent=3)
    for _ in range(5):
        submit("one_noop")
    assert len(hand.admit()) == 3


def test_nothing_is_admitted_beyond_the_slots_of_live_workers(submit: Submit, tenant: Tenant) -> None:
    """The backlog waits in the database, and the broker stays shallow."""
    hand = Hand(slots=2)
    for _ in range(5):
        submit("one_noop")
    assert len(hand.admit()) == 2


def test_the_steps_of_a_suspended_tenant_wait(submit: Submit, hand: Hand, tenant: Tenant) -> None:
    """They are neither admitted nor, when already hinted, claimed; after reactivation they run."""
    submit("one_noop")
    (hint,) = hand.admit()
    tenant_suspend(tenant)
    assert hand.store.claim(*hint) is None
    mark_lost_lanes()
    assert hand.admit() == []
    tenant_reactivate(tenant)
    assert len(hand.admit()) == 1


def test_what_was_begun_is_ended_first(submit: Submit, hand: Hand) -> None:
    """The second step of an earlier workflow goes before the first of a later one."""
    earlier, later = submit("ten_noops"), submit("ten_noops")
    hand.finish(hand.claim_next(), {})
    (step_id, _) = hand.admit(1)[0]
    assert Step.objects.get(pk=step_id).workflow_id == earlier.pk
    assert later.steps.get(node="step_0").status == "ready"


def test_enterprise_steps_go_to_their_own_workers(submit: Submit, hand: Hand) -> None:
    """Their hints travel on the pool's own Celery queue, and need its slots."""
    big = tenant_create(name="big", tier="enterprise")
    submit("one_noop", tenant=big)
    assert hand.admit() == []
    Hand(name="enterprise", queue="standard.enterprise", slots=1)
    rows = call_function("workflows_admit", ["standard", 10], ["text", "int"])
    assert [row[4] for row in rows] == ["standard.enterprise"]


def test_an_unanswered_hint_is_sent_again_with_the_same_attempt(submit: Submit, hand: Hand) -> None:
    """After five seconds, not before; then twice as long."""
    submit("one_noop")
    (hint,) = hand.admit()
    assert call_function("workflows_overdue_hints", [10], ["int"]) == []
    Step.objects.update(hinted_at="2020-01-01T00:00:00Z")
    (row,) = call_function("workflows_overdue_hints", [10], ["int"])
    assert (row[0], row[1]) == hint
    assert call_function("workflows_overdue_hints", [10], ["int"]) == []


def test_a_lane_that_lost_its_mark_is_found_again(submit: Submit, hand: Hand) -> None:
    """The mark is only a shortcut: the ready steps themselves are the truth."""
    submit("one_noop")
    Lane.objects.update(backlogged=False)
    assert hand.admit() == []
    mark_lost_lanes()
    assert len(hand.admit()) == 1


def test_a_continued_step_waits_its_turn_once_its_tenant_is_a_quantum_ahead(
    submit: Submit, hand: Hand, tenant: Tenant
) -> None:
    """While another tenant waits, going on in the same slot is charged like an admission."""
    QueueConfig.objects.filter(name="standard").update(quantum_tokens=1_000)
    other = tenant_create(name="other", tier="standard")
    submit("ten_noops")
    step = hand.claim_next()
    submit("ten_noops", tenant=other)
    continued = 0
    while (reply := hand.finish(step, {}, may_continue=True)).next_step is not None:
        continued += 1
        step = reply.next_step
    # Each step charges 100 tokens over a weight of 4, and the quantum is 1,000 over 4: ten, the first included.
    assert 0 < continued < 10
    assert admitted_tenants(hand, 1) == ["other"]
