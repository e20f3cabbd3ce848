"""Tools that cost: reserved before the call, entered once, in the windows of budgets like all else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentplatform.agents.tools.tool import ToolError
from agentplatform.llm.errors import CallDeferred
from apps.budgets.models import Budget, LedgerEntry, Reservation
from apps.tools.models import ToolCall
from apps.workflows.dispatching import sweep_reservations
from apps.workflows.models import Step, Workflow
from apps.workflows.reconciling import books_check, default_range
from tests.integration.budgets.conftest import assert_counters_are_the_ledger, budget, usage_of
from tests.integration.tools.conftest import Attempts, Charge, use
from tests.integration.tools.test_journal import Killed

__all__ = ["budget"]
StepOf = Callable[..., Attempts]
PRICE = 2_500


def books_differ() -> int:
    """In how many places what is counted is not what the ledger says."""
    return sum(check.mismatched for check in books_check(*default_range()))


def test_a_call_that_costs_is_entered_once_and_charged_to_its_run(
    step_of: StepOf, budget: Callable[..., Budget]
) -> None:
    """As a call of a tool; on a later attempt it costs nothing more."""
    own = budget(daily_usd_micros=100_000)
    tool = Charge(cost_usd_micros=PRICE)
    attempts = step_of(tool)
    result = use(attempts.begin(), tool)
    attempts.fail()
    assert use(attempts.begin(), tool).cost_usd_micros == result.cost_usd_micros == PRICE
    entry = LedgerEntry.objects.get()
    assert (entry.kind, entry.outcome, entry.cost_usd_micros) == ("tool", "settled", PRICE)
    assert (entry.provider, entry.model, entry.task_type) == ("tools", "charge", "one_noop")
    assert Workflow.objects.get().cost_usd_micros == PRICE
    assert usage_of(own).used_usd_micros == PRICE
    assert not Reservation.objects.exists()
    assert_counters_are_the_ledger()
    assert books_differ() == 0


def test_a_free_call_is_in_no_ledger(step_of: StepOf) -> None:
    """It is in the journal of calls alone."""
    tool = Charge()
    use(step_of(tool).begin(), tool)
    assert ToolCall.objects.count() == 1
    assert not LedgerEntry.objects.exists()


def test_a_call_that_fails_costs_nothing(step_of: StepOf) -> None:
    """And what was reserved for it is free again."""
    tool = Charge(cost_usd_micros=PRICE)
    tool.error = ToolError("down", "It is down.")
    use(step_of(tool).begin(), tool)
    assert LedgerEntry.objects.get().cost_usd_micros == 0
    assert Workflow.objects.get().cost_usd_micros == 0
    assert not Reservation.objects.exists()


def test_a_step_is_held_where_a_budget_has_no_room_for_a_tool(
    step_of: StepOf, budget: Callable[..., Budget]
) -> None:
    """The call is not made, and nothing is reserved."""
    budget(daily_usd_micros=PRICE - 1)
    tool = Charge(cost_usd_micros=PRICE)
    attempts = step_of(tool)
    context = attempts.begin()
    with pytest.raises(CallDeferred) as deferred:
        use(context, tool)
    assert (deferred.value.waiting_for, deferred.value.needs) == ("budget", (PRICE, 0))
    assert tool.times == 0
    assert not Reservation.objects.exists()


def test_a_run_that_may_not_spend_so_much_goes_on_without_the_tool(step_of: StepOf) -> None:
    """Its own limit does not turn with a window, so waiting would be for nothing."""
    tool = Charge(cost_usd_micros=PRICE)
    attempts = step_of(tool, max_cost_usd_micros=PRICE - 1)
    result = use(attempts.begin(), tool)
    assert (result.status, result.code, tool.times) == ("failed", "max_cost_exceeded", 0)


@pytest.mark.parametrize("sweeps", [True, False])
def test_a_call_that_nobody_came_back_from_is_charged_and_told_of_later(
    step_of: StepOf, budget: Callable[..., Budget], settings: Any, sweeps: bool
) -> None:
    """By whoever finds it first: the next attempt, or the dispatcher where there is none."""
    budget(daily_usd_micros=100_000)
    settings.RESERVATION_GRACE_SECONDS = 0.0
    tool = Charge(cost_usd_micros=PRICE, is_idempotent=False)
    tool.error = Killed()
    attempts = step_of(tool)
    context = attempts.begin()
    with pytest.raises(Killed):
        use(context, tool)
    attempts.fail()
    if sweeps:
        Step.objects.update(status="dead")
        assert sweep_reservations() == 1
        assert sweep_reservations() == 0
    else:
        tool.error = None
        use(attempts.begin(), tool)
    assert ToolCall.objects.get().status == "unknown"
    assert LedgerEntry.objects.get().outcome == "unknown"
    assert Workflow.objects.get().cost_usd_micros == PRICE
    assert not Reservation.objects.exists()
    assert_counters_are_the_ledger()


def test_who_comes_back_late_corrects_what_was_charged(
    step_of: StepOf, budget: Callable[..., Budget]
) -> None:
    """A call that was given up and failed after all has cost nothing."""
    budget(daily_usd_micros=100_000)
    tool = Charge(cost_usd_micros=PRICE, is_idempotent=False)
    attempts = step_of(tool)
    context = attempts.begin()

    class GivenUp(Charge):
        def run(self, arguments: Any, given: Any) -> Any:
            attempts.fail()
            other = attempts.begin()
            assert use(other, tool).status == "unknown"
            raise ToolError("refused", "It was not done.")

    late = GivenUp(cost_usd_micros=PRICE, is_idempotent=False)
    assert use(context, late).status == "failed"
    kinds = dict(LedgerEntry.objects.values_list("kind", "cost_usd_micros"))
    assert kinds == {"tool": PRICE, "correction": -PRICE}
    assert Workflow.objects.get().cost_usd_micros == 0
    assert_counters_are_the_ledger()
