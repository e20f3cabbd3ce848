"""The ledger and the journal of calls in the database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from django.db import IntegrityError
from django.db.models import Sum

from agentplatform.llm.errors import BudgetShort
from agentplatform.llm.journal import Settlement, StartedCall
from agentplatform.llm.messages import ModelResponse, Usage
from apps.budgets.models import LedgerEntry
from apps.gateway.models import Call
from apps.workflows.models import Step, Workflow
from apps.workflows.store import DatabaseCallStore
from tests.integration.conftest import Hand, journal_of, recover

Submit = Callable[..., Workflow]


def started(hand: Hand, ordinal: int = 0) -> StartedCall:
    """A call of a step that was just claimed, written as started."""
    call = StartedCall(journal_of(hand.claim_next()).step, ordinal, "hash", "fast", "anthropic", "m", 100)
    DatabaseCallStore().start(call, ())
    return call


def settlement(call: StartedCall, cost: int = 42) -> Settlement:
    """A settlement of `call`."""
    usage = Usage(input_tokens=10, output_tokens=5, cache_read_tokens=3)
    response = ModelResponse(({"type": "text", "text": "hi"},), "end_turn", usage, "m", "anthropic", "req_1")
    return Settlement(call, "settled", usage, cost, "prices 1", "m", "req_1", response=response)


def test_a_call_is_settled_once_however_often_it_is_reported(submit: Submit, hand: Hand) -> None:
    """One entry, and the workflow pays once."""
    workflow = submit("one_ask")
    call = started(hand)
    for _ in range(3):
        DatabaseCallStore().settle([settlement(call)])
    entry = LedgerEntry.objects.get()
    assert (entry.cost_usd_micros, entry.input_tokens, entry.cache_read_tokens) == (42, 10, 3)
    assert Call.objects.get().input_tokens == 13
    workflow.refresh_from_db()
    assert workflow.cost_usd_micros == 42


def test_a_stale_worker_still_settles_what_it_bought(submit: Submit, hand: Hand) -> None:
    """The provider has billed: the call is settled though the step was taken away, and then replayed."""
    workflow = submit("one_ask")
    call = started(hand)
    Step.objects.update(lease_expires_at="2020-01-01T00:00:00Z")
    recover()
    assert Call.objects.get().status == "unknown"
    DatabaseCallStore().settle([settlement(call)])
    assert Call.objects.get().status == "settled"
    again = hand.claim_next()
    assert again.attempt == 2
    assert journal_of(again).replay(0, "hash") is not None
    workflow.refresh_from_db()
    assert workflow.cost_usd_micros == LedgerEntry.objects.aggregate(sum=Sum("cost_usd_micros"))["sum"] == 42


def test_a_start_that_was_lost_comes_back_with_its_settlement(submit: Submit, hand: Hand) -> None:
    """Starts are written without waiting for the disk."""
    submit("one_ask")
    call = started(hand)
    Call.objects.all().delete()
    DatabaseCallStore().settle([settlement(call)])
    assert Call.objects.get().status == "settled"
    assert LedgerEntry.objects.count() == 1


def test_a_refused_call_costs_nothing_and_a_broken_one_what_was_seen(submit: Submit, hand: Hand) -> None:
    """Every attempt has its entry: one that was refused at nothing, one that broke off at what had been billed."""
    submit("one_ask")
    call = started(hand)
    refused = replace(settlement(call, cost=0), status="failed", usage=Usage(), response=None)
    DatabaseCallStore().settle([refused])
    assert LedgerEntry.objects.values_list("outcome", "cost_usd_micros").get() == ("failed", 0)
    second = replace(call, ordinal=1, call_id=type(call.call_id)(int=call.call_id.int + 1))
    DatabaseCallStore().start(second, ())
    broken = replace(settlement(second, cost=7), status="failed", estimated=True, response=None)
    DatabaseCallStore().settle([broken])
    assert LedgerEntry.objects.get(call_id=second.call_id).estimated


def test_no_call_starts_whose_worst_case_exceeds_the_limit(submit: Submit, hand: Hand) -> None:
    """What has been spent counts."""
    submit("one_ask", max_cost_usd_micros=140)
    call = started(hand)
    DatabaseCallStore().settle([settlement(call, cost=50)])
    following = replace(call, ordinal=1, call_id=type(call.call_id)(int=call.call_id.int + 1))
    with pytest.raises(BudgetShort):
        DatabaseCallStore().start(following, ())
    assert Call.objects.count() == 1


@pytest.mark.parametrize("change", [lambda entries: entries.update(cost_usd_micros=0), lambda e: e.delete()])
def test_the_database_refuses_to_change_the_ledger(
    submit: Submit, hand: Hand, change: Callable[[object], object]
) -> None:
    """Neither update nor delete, whoever asks."""
    submit("one_ask")
    DatabaseCallStore().settle([settlement(started(hand))])
    with pytest.raises(IntegrityError, match="append-only"):
        change(LedgerEntry.objects.all())
    assert LedgerEntry.objects.get().cost_usd_micros == 42
