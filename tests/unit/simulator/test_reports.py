"""What the simulator says it has billed: exactly what it answered with, by day, model and service tier."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import anthropic
import httpx2
import pytest

from agentplatform.budgets.cost_reports import ReportError
from agentplatform.budgets.reconciliation import Amounts
from agentplatform.llm.messages import Usage
from agentplatform.llm.pricing import PriceBook
from agentplatform.llm.providers.cost_reports import fetch_cost_report
from tests.unit.conftest import RunningSimulator
from tests.unit.simulator.clients import second
from tests.unit.simulator.prompts import LEASE_PROMPT, ask
from tests.unit.simulator.test_batches import ended, entry

HAIKU = "claude-haiku-5-5"
USAGE, COSTS = "usage_report/messages", "cost_report"


def today(simulator: RunningSimulator) -> date:
    """By the simulator's clock."""
    told = simulator.http.get(f"{simulator.url}/_control/clock").json()["now"]
    return datetime.fromisoformat(told).astimezone(UTC).date()


def reported(simulator: RunningSimulator, days: int = 1) -> dict[tuple[date, str], Amounts]:
    """The report of the last days, as the platform reads it."""
    until = today(simulator) + timedelta(days=1)
    found: dict[tuple[date, str], Amounts] = {}
    for line in fetch_cost_report(simulator.url, "admin-key", until - timedelta(days=days), until):
        key = (line.day, line.model)
        found[key] = found.get(key, Amounts()) + line.amounts
    return found


def get(simulator: RunningSimulator, path: str, **query: Any) -> Any:
    """A page, or its error."""
    headers = {"x-api-key": "admin-key", "anthropic-version": "2023-06-01"}
    grouped = query.pop("group_by", None)
    if grouped:
        query["group_by[]"] = grouped
    response = simulator.http.get(f"{simulator.url}/v1/organizations/{path}", params=query, headers=headers)
    return response.json() if response.status_code == 200 else response.json()["error"]["message"]


def call(client: anthropic.Anthropic, **changes: Any) -> Amounts:
    """A call, and what its answer says it is billed for."""
    parameters: Any = {"model": HAIKU, "max_tokens": 100, "messages": [ask(LEASE_PROMPT)], **changes}
    usage = client.messages.create(**parameters).usage
    return Amounts(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_write_tokens=usage.cache_creation_input_tokens or 0,
        cache_read_tokens=usage.cache_read_input_tokens or 0,
    )


def test_calls_are_billed_as_they_were_answered(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """In every bucket of tokens; the cost is that of the listed prices."""
    block: Any = {"type": "text", "text": "A fox. " * 3_000, "cache_control": {"type": "ephemeral"}}
    first, second_ = call(client, system=[block]), call(client, system=[block])
    billed = reported(simulator)[today(simulator), HAIKU]
    assert billed.tokens == (first + second_).tokens
    assert min(billed.cache_write_tokens, billed.cache_read_tokens) > 0
    prices = PriceBook().of(HAIKU)
    written = Usage(first.input_tokens, first.output_tokens, cache_write_5m_tokens=first.cache_write_tokens)
    read = Usage(second_.input_tokens, second_.output_tokens, cache_read_tokens=second_.cache_read_tokens)
    assert abs(billed.usd_micros - prices.cost_usd_micros(written) - prices.cost_usd_micros(read)) <= 1


def test_an_alias_is_billed_under_the_model_s_own_name(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """As the API does."""
    call(client, model="claude-haiku-4-5")
    assert {model for _, model in reported(simulator)} == {"claude-haiku-4-5-20251001"}


def test_of_a_stream_that_was_cut_what_was_sent_is_billed(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """A call that was refused is not billed at all."""
    simulator.fault(break_stream_after=2, count=1)
    with (
        pytest.raises((anthropic.APIError, httpx2.TransportError)),
        client.messages.stream(model=HAIKU, max_tokens=100, messages=[ask(LEASE_PROMPT)]) as stream,
    ):
        stream.until_done()
    simulator.fault(status=529, count=1)
    with pytest.raises(anthropic.APIStatusError):
        call(client)
    (sent, _) = simulator.calls()["calls"]
    billed = reported(simulator)[today(simulator), HAIKU]
    assert (billed.input_tokens, billed.output_tokens) == (sent["input_tokens"], sent["output_tokens"])


def test_a_batch_is_billed_when_it_has_ended_at_half_the_price(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """What did not succeed in it is not; a batch that was deleted was billed all the same."""
    whole = call(client)
    at_once = reported(simulator)[today(simulator), HAIKU].usd_micros
    simulator.set_provider("anthropic", batches={"seconds": 600, "errored_share": 0.5})
    batch = client.messages.batches.create(requests=[entry(f"r{number}") for number in range(4)])
    assert reported(simulator)[today(simulator), HAIKU].tokens == whole.tokens
    simulator.advance(601)
    ended(client, batch.id)
    client.messages.batches.delete(batch.id)
    all_days = sum(reported(simulator, days=2).values(), Amounts())
    assert all_days.output_tokens == 3 * whole.output_tokens
    assert abs(all_days.usd_micros - 2 * at_once) <= 2
    tiers = {one["service_tier"] for bucket in _usage(simulator, "service_tier") for one in bucket["results"]}
    assert tiers == {"standard", "batch"}


def _usage(simulator: RunningSimulator, group_by: str) -> Any:
    start = today(simulator) - timedelta(days=1)
    return get(simulator, USAGE, starting_at=f"{start}T00:00:00Z", group_by=group_by)["data"]


def test_days_are_those_of_the_simulator_s_clock_and_come_in_pages(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """Days without a call have no results."""
    first = today(simulator)
    one = call(client)
    simulator.advance(40 * 86_400)
    last = today(simulator)
    call(client)
    found = reported(simulator, days=(last - first).days + 1)
    assert {day: amounts.output_tokens for (day, _), amounts in found.items()} == {
        first: one.output_tokens,
        last: one.output_tokens,
    }
    page = get(simulator, COSTS, starting_at=f"{first}T00:00:00Z", limit=5)
    assert (len(page["data"]), page["has_more"]) == (5, True)
    assert [len(bucket["results"]) for bucket in page["data"]] == [1, 0, 0, 0, 0]
    assert Decimal(page["data"][0]["results"][0]["amount"]) > 0


def test_each_provider_reports_its_own(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    """What another one answered is not in it."""
    call(second(simulator))
    assert not reported(simulator)
    call(client)
    assert len(reported(simulator)) == 1


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({}, "starting_at: Field required"),
        ({"starting_at": "soon"}, "starting_at: Input should be an RFC 3339 time"),
        ({"starting_at": "2026-11-01T00:00:00Z", "limit": 32}, "limit: Input should be"),
        ({"starting_at": "2026-11-01T00:00:00Z", "bucket_width": "1h"}, "bucket_width"),
        ({"starting_at": "2026-11-01T00:00:00Z", "group_by": "colour"}, "group_by: Input should be one of"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(
    simulator: RunningSimulator, query: dict[str, Any], said: str
) -> None:
    """With the field and what it should be."""
    assert said in get(simulator, COSTS, **query)


def test_a_report_that_cannot_be_had_says_why(simulator: RunningSimulator) -> None:
    """Nobody there, or a refusal with the provider's own words."""
    day = date(2026, 11, 23)
    with pytest.raises(ReportError, match="401: x-api-key header is required"):
        fetch_cost_report(simulator.url, "", day, day + timedelta(days=1))
    with pytest.raises(ReportError, match="404"):
        fetch_cost_report(f"{simulator.url}/nowhere", "key", day, day + timedelta(days=1))
    started = time.monotonic()
    with pytest.raises(ReportError, match="cannot be reached"):
        fetch_cost_report("http://127.0.0.1:1", "key", day, day + timedelta(days=1))
    assert time.monotonic() - started < 5
