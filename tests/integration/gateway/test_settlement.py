"""Settlement under concurrency: whoever reports a call, and how often, it is paid for once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from django.db import connection
from django.db.models import Sum

from agentplatform.execution.executor import identity_of
from agentplatform.identifiers import uuid7
from agentplatform.llm.journal import Settlement, StartedCall
from agentplatform.llm.messages import ModelResponse, Usage
from apps.budgets.models import LedgerEntry
from apps.gateway.models import Call
from apps.workflows.models import Workflow
from apps.workflows.store import DatabaseCallStore
from tests.integration.conftest import Hand

Submit = Callable[..., Workflow]
USAGE = Usage(input_tokens=10, output_tokens=5)
RESPONSE = ModelResponse(({"type": "text", "text": "hi"},), "end_turn", USAGE, "m", "anthropic", "req_1")


def calls_of_one_step(hand: Hand, count: int) -> list[StartedCall]:
    """Calls of a step that was just claimed, written as started."""
    step = identity_of(hand.claim_next())
    calls = [StartedCall(step, ordinal, "h", "fast", "anthropic", "m", 0) for ordinal in range(count)]
    for call in calls:
        DatabaseCallStore().start(call, ())
    return calls


def settled(call: StartedCall, cost: int = 7) -> Settlement:
    """The settlement of a call."""
    return Settlement(call, "settled", USAGE, cost, "v1", "m", "req_1", response=RESPONSE)


def at_once(batches: Sequence[Sequence[Settlement]]) -> None:
    """Settles each batch on a connection of its own, all at the same time."""
    together = threading.Barrier(len(batches))

    def settle(batch: Sequence[Settlement]) -> None:
        together.wait()
        try:
            DatabaseCallStore().settle(batch)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(batches)) as threads:
        list(threads.map(settle, batches))


def ledger_sum() -> int:
    """What the ledger says in all."""
    return LedgerEntry.objects.aggregate(sum=Sum("cost_usd_micros"))["sum"] or 0


def test_a_call_reported_by_eight_at_once_is_paid_for_once(submit: Submit, hand: Hand) -> None:
    """The first wins, the others change nothing."""
    workflow = submit("one_ask")
    (call,) = calls_of_one_step(hand, 1)
    at_once([[settled(call, cost=number + 1)] for number in range(8)])
    workflow.refresh_from_db()
    entry = LedgerEntry.objects.get()
    assert workflow.cost_usd_micros == entry.cost_usd_micros == Call.objects.get().cost_usd_micros


def test_batches_that_overlap_in_any_order_add_up(submit: Submit, hand: Hand) -> None:
    """No deadlock, no call twice, none forgotten."""
    workflow = submit("one_ask")
    calls = calls_of_one_step(hand, 12)
    settlements = [settled(call) for call in calls]
    at_once([settlements, settlements[::-1], settlements[6:] + settlements[:6], settlements[::2]])
    workflow.refresh_from_db()
    assert LedgerEntry.objects.count() == 12
    assert workflow.cost_usd_micros == ledger_sum() == 12 * 7


def test_workflows_are_charged_each_its_own(submit: Submit, hand: Hand) -> None:
    """Settled at once."""
    workflows = [submit("one_ask") for _ in range(4)]
    batches = [[settled(call, cost=number + 1)] for number in range(4) for call in calls_of_one_step(hand, 1)]
    at_once(batches)
    costs = dict(Workflow.objects.values_list("pk", "cost_usd_micros"))
    entries = dict(LedgerEntry.objects.values_list("workflow_id", "cost_usd_micros"))
    assert costs == entries
    assert sorted(costs[workflow.pk] for workflow in workflows) == [1, 2, 3, 4]


def test_what_was_settled_stays_so(submit: Submit, hand: Hand) -> None:
    """A late report of a failure takes no answer away, and one of an answer comes too late for a failure."""
    submit("one_ask")
    first, second = calls_of_one_step(hand, 2)
    failed = Settlement(second, "failed", Usage(), 0, "v1", "m", error_code="overloaded_error")
    DatabaseCallStore().settle([settled(first), failed])
    DatabaseCallStore().settle([replace(failed, call=first), settled(second)])
    assert list(Call.objects.order_by("ordinal").values_list("status", flat=True)) == ["settled", "failed"]
    assert ledger_sum() == 7


def test_a_call_that_was_never_started_is_settled_all_the_same(submit: Submit, hand: Hand) -> None:
    """Its start was lost with the power; the provider has billed."""
    workflow = submit("one_ask")
    (call,) = calls_of_one_step(hand, 1)
    unheard_of = replace(call, call_id=uuid7(), ordinal=5)
    DatabaseCallStore().settle([settled(unheard_of)])
    workflow.refresh_from_db()
    assert workflow.cost_usd_micros == ledger_sum() == 7
    assert set(Call.objects.values_list("status", flat=True)) == {"started", "settled"}
