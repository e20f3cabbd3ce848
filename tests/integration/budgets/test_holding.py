"""Steps and budgets: held where there is no room, woken when there is, and told of on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from agentplatform.budgets.thresholds import Level
from agentplatform.identifiers import uuid7
from agentplatform.llm.errors import BudgetShort
from agentplatform.simulator.settings import SimulatorSettings
from apps.budgets import selectors
from apps.budgets.models import Budget, BudgetHold, BudgetWindow, Reservation, ThresholdCrossing
from apps.budgets.selectors import restraint_of
from apps.budgets.watching import budgets_watch
from apps.notifications.models import Notice
from apps.tenants.models import ApiKey, Tenant
from apps.tenants.services import tenant_create
from apps.workflows.dispatching import wake_held
from apps.workflows.models import Event, Step, Workflow
from apps.workflows.services import workflow_cancel, workflow_pause, workflow_resume
from tests.integration.budgets.conftest import Spender, assert_counters_are_the_ledger, usage_of
from tests.integration.conftest import Hand
from tests.integration.gateway.test_running_steps import Worker
from tests.unit.conftest import RunningSimulator, serve

Submit = Callable[..., Workflow]
MakeBudget = Callable[..., Budget]


@pytest.fixture(scope="module")
def _simulator() -> Iterator[RunningSimulator]:
    yield from serve(SimulatorSettings(latency_scale=0))


@pytest.fixture
def worker(_simulator: RunningSimulator, hand: Hand) -> Worker:
    """A worker of eight threads, and a simulator that answers at once."""
    _simulator.reset()
    return Worker(_simulator, hand)


@pytest.fixture(autouse=True)
def fresh_actions() -> Iterator[None]:
    """Actions in force are looked up anew."""
    selectors.actions_in_force.cache_clear()
    yield
    selectors.actions_in_force.cache_clear()


def run_admitted(worker: Worker) -> int:
    """Runs what is admitted now; returns how many steps that were."""
    hints = worker.hand.admit()
    for hint in hints:
        worker.executor.run(*hint)
    return len(hints)


def statuses_of(workflow: Workflow) -> list[str]:
    """The statuses of the run, in order."""
    events = Event.objects.filter(workflow=workflow, kind="workflow.status")
    return [event.data["status"] for event in events]


def test_a_run_is_held_until_its_budget_is_raised_and_goes_on_where_it_was(
    worker: Worker, submit: Submit, budget: MakeBudget
) -> None:
    """What it had bought by then is not bought again."""
    mine = budget(daily_usd_micros=200)
    workflow = submit("one_ask", {"calls": 10})
    run_admitted(worker)
    workflow.refresh_from_db()
    step = Step.objects.get()
    assert (workflow.status, step.status, step.waiting_for) == ("held", "waiting", "budget")
    (note,) = [note for note in workflow.degradations if note["code"] == "budget_held"]
    assert "acme" in note["message"]
    assert step.run_at is not None
    assert not Reservation.objects.exists()
    bought = usage_of(mine).used_usd_micros
    assert wake_held() == 0
    Budget.objects.update(daily_usd_micros=1_000_000)
    assert wake_held() == 1
    workflow.refresh_from_db()
    assert workflow.status == "running"
    assert not BudgetHold.objects.exists()
    assert run_admitted(worker) == 1
    workflow.refresh_from_db()
    assert workflow.status == "succeeded"
    assert statuses_of(workflow) == ["held", "running", "succeeded"]
    assert workflow.cost_usd_micros == usage_of(mine).used_usd_micros > bought
    assert_counters_are_the_ledger()


def test_a_held_run_goes_on_when_the_window_turns(worker: Worker, submit: Submit, budget: MakeBudget) -> None:
    """By itself."""
    budget(daily_usd_micros=10)
    workflow = submit("one_ask")
    run_admitted(worker)
    day = timedelta(days=1)
    window = BudgetWindow.objects.get()
    BudgetWindow.objects.update(starts_at=window.starts_at - day, ends_at=window.ends_at - day)
    Budget.objects.update(daily_usd_micros=1_000_000)
    assert wake_held() == 1
    assert run_admitted(worker) == 1
    workflow.refresh_from_db()
    assert workflow.status == "succeeded"


def test_no_more_is_woken_than_there_is_room_for_and_the_first_first(
    worker: Worker, submit: Submit, budget: MakeBudget
) -> None:
    """The others wait on, without being tried."""
    budget(daily_usd_micros=10)
    workflows = [submit("one_ask") for _ in range(5)]
    run_admitted(worker)
    needs = BudgetHold.objects.first()
    assert needs is not None
    Budget.objects.update(daily_usd_micros=2 * needs.usd_micros + 50)
    assert wake_held() == 2
    woken = Step.objects.filter(status="ready").values_list("workflow_id", flat=True)
    assert set(woken) == {workflow.pk for workflow in workflows[:2]}
    assert BudgetHold.objects.count() == 3


def test_a_held_run_can_be_cancelled(worker: Worker, submit: Submit, budget: MakeBudget) -> None:
    """And nothing of it is left."""
    budget(daily_usd_micros=10)
    workflow = submit("one_ask")
    run_admitted(worker)
    workflow_cancel(workflow.pk)
    assert wake_held() == 0
    assert not BudgetHold.objects.exists()
    workflow.refresh_from_db()
    assert workflow.status == "cancelled"


def test_a_held_run_that_was_paused_is_held_again_when_it_is_resumed(
    worker: Worker, submit: Submit, budget: MakeBudget
) -> None:
    """It pauses with the run whose step has started it; while it is paused no budget wakes it."""
    budget(daily_usd_micros=10)
    outer = submit("outer_asking", {"items": [1]})
    assert run_admitted(worker) + run_admitted(worker) == 2
    held = Workflow.objects.get(parent_id=outer.pk)
    assert held.status == "held"
    workflow_pause(outer.pk)
    workflow_resume(outer.pk)
    assert statuses_of(held) == ["held", "paused", "running", "held"]
    workflow_pause(outer.pk)
    Budget.objects.update(daily_usd_micros=1_000_000)
    wake_held()
    run_admitted(worker)
    assert [run.status for run in Workflow.objects.all()] == ["paused", "paused"]
    workflow_resume(outer.pk)
    assert worker.run_all(outer).status == "succeeded"


def test_a_run_with_its_own_limit_is_exact_across_calls_in_flight(submit: Submit, spender: Spender) -> None:
    """Two steps at once do not both get the last of it."""
    workflow = submit("one_ask", max_cost_usd_micros=1_500)
    call = spender.start()
    mine = replace(call, step=replace(call.step, workflow_id=workflow.pk), call_id=uuid7())
    spender.store.start(mine, ())
    with pytest.raises(BudgetShort) as refused:
        spender.store.start(replace(mine, call_id=uuid7()), ())
    assert (refused.value.code, refused.value.room_usd_micros, refused.value.in_flight) == (
        "max_cost_exceeded",
        500,
        True,
    )


def codes() -> list[tuple[str, str]]:
    """The actions that were told of, in order."""
    notices = Notice.objects.filter(code="budget.threshold").order_by("id")
    return [(notice.data["action"], notice.severity) for notice in notices]


def test_actions_begin_in_turn_and_each_is_told_once(
    spender: Spender, budget: MakeBudget, tenant: Tenant
) -> None:
    """To the tenant and to operators."""
    mine = budget(daily_usd_micros=10_000)
    for usd_micros in (7_900, 200, 900):
        spender.settle(spender.start(), usd_micros)
        budgets_watch()
        budgets_watch()
    assert codes() == [("alert", "info"), ("degrade", "warning")]
    assert Notice.objects.filter(tenant=tenant, audience="both").count() == 2
    selectors.actions_in_force.cache_clear()
    assert restraint_of(tenant.pk, None, "one_ask").level is Level.DEGRADE
    other = tenant_create(name="other", tier="standard")
    assert restraint_of(other.pk, None, "one_ask").level is Level.NONE
    assert usage_of(mine).window.level == Level.DEGRADE


def test_a_throttle_cuts_the_tenants_limits_and_ends_with_it(
    spender: Spender, budget: MakeBudget, tenant: Tenant
) -> None:
    """To a quarter, and back when the cap is raised."""
    other = tenant_create(name="other", tier="standard")
    budget(daily_usd_micros=10_000)
    spender.settle(spender.start(), 9_600)
    budgets_watch()
    tenant.refresh_from_db()
    other.refresh_from_db()
    assert (tenant.throttle_percent, other.throttle_percent) == (25, None)
    Budget.objects.update(daily_usd_micros=100_000)
    budgets_watch()
    tenant.refresh_from_db()
    assert tenant.throttle_percent is None
    assert ThresholdCrossing.objects.filter(ended_at=None).count() == 0


def test_a_raised_cap_arms_the_actions_again(spender: Spender, budget: MakeBudget) -> None:
    """So that the next crossing is told of too."""
    budget(daily_usd_micros=10_000)
    spender.settle(spender.start(), 8_500)
    budgets_watch()
    Budget.objects.update(daily_usd_micros=20_000)
    budgets_watch()
    spender.settle(spender.start(), 8_000)
    budgets_watch()
    assert codes() == [("alert", "info"), ("alert", "info")]


def test_a_dry_run_tells_what_it_would_do_and_does_nothing(
    spender: Spender, budget: MakeBudget, tenant: Tenant
) -> None:
    """Although it is used up."""
    budget(daily_usd_micros=10_000, is_dry_run=True)
    spender.settle(spender.start(), 12_000)
    budgets_watch()
    assert [action for action, _ in codes()] == ["alert", "degrade", "throttle", "shutoff"]
    assert all(notice.data["is_dry_run"] for notice in Notice.objects.all())
    assert all("Dry run" in notice.message for notice in Notice.objects.all())
    tenant.refresh_from_db()
    assert tenant.throttle_percent is None
    assert restraint_of(tenant.pk, None, "one_ask").level is Level.NONE


def test_what_is_used_up_is_shut_off_and_told_when_there_is_room_again(
    worker: Worker, submit: Submit, budget: MakeBudget
) -> None:
    """Although its percent is below, since the next call did not fit."""
    budget(daily_usd_micros=150, alert_percent=None, degrade_percent=None, throttle_percent=None)
    submit("one_ask", {"calls": 10})
    run_admitted(worker)
    budgets_watch()
    assert codes() == [("shutoff", "critical")]
    Budget.objects.update(daily_usd_micros=1_000_000)
    budgets_watch()
    assert Notice.objects.filter(code="budget.room").count() == 1


def test_a_throttled_key_makes_a_few_calls_at_a_time(tenant: Tenant, budget: MakeBudget) -> None:
    """A quarter of what its tenant may run at once; its other keys are free."""
    key = ApiKey.objects.create(scope="tenant", tenant=tenant, name="k", prefix="p", key_hash="h")
    Tenant.objects.update(max_concurrent_steps=8)
    budget("key", scope="api_key", api_key=key, daily_usd_micros=100_000)
    spender, free = Spender(tenant, api_key_id=key.pk), Spender(tenant)
    spender.settle(spender.start(), 95_500)
    budgets_watch()
    first = spender.start()
    spender.start()
    with pytest.raises(BudgetShort) as refused:
        spender.start()
    assert (refused.value.code, refused.value.in_flight) == ("budget_throttled", True)
    for _ in range(5):
        free.start()
    spender.settle(first)
    spender.start()
