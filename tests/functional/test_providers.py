"""Providers fail, are over their rates, and come back: on real processes, with two of the simulator's providers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.product import Product, broken_invariants, eventually

TRIPS = "SELECT reason, closed_at IS NOT NULL FROM gateway_circuittrip ORDER BY opened_at"


@pytest.fixture
def second(product: Product, tmp_path: Path) -> Iterator[str]:
    """A second provider for every tier, after the first; gone again afterwards, as are circuits and rates."""
    secret = tmp_path / "key"
    secret.write_text("simulator-second\n")
    product.query(
        """INSERT INTO gateway_provider (name, kind, base_url, secret, region, project, is_enabled, takes_batches)
        VALUES ('second', 'anthropic', %s, %s, '', '', true, false) RETURNING name""",
        f"{product.simulator_url}/second",
        f"file:{secret}",
    )
    product.query(
        """INSERT INTO gateway_tierprovider (tier_id, provider_id, position, model_name)
        SELECT tier, 'second', 1, '' FROM gateway_modeltier RETURNING id"""
    )
    until_settings_are_known()
    yield "second"
    product.query("DELETE FROM gateway_tierprovider WHERE provider_id = 'second' RETURNING id")
    product.query("DELETE FROM gateway_provider WHERE name = 'second' RETURNING name")
    product.query("DELETE FROM gateway_circuittrip RETURNING id")
    until_settings_are_known()


def until_settings_are_known() -> None:
    """The processes of these tests read what an operator sets every half second."""
    time.sleep(0.6)


def all_succeed(product: Product, count: int) -> list[str]:
    ids = [
        product.submit("one_ask", {"calls": 2}, priority=("interactive", "standard")[number % 2])
        for number in range(count)
    ]
    assert {product.finished(workflow_id, 60)["status"] for workflow_id in ids} == {"succeeded"}
    return ids


def providers_of(product: Product, ids: list[str]) -> dict[tuple[str, str], int]:
    """How many calls of these workflows ended how at which provider."""
    rows = product.query(
        """SELECT provider, status, count(*) FROM gateway_call WHERE workflow_id = ANY(%s::uuid[])
        GROUP BY 1, 2""",
        ids,
    )
    return {(provider, status): count for provider, status, count in rows}


def test_an_outage_of_one_provider_is_passed_by_and_its_end_is_found_out(
    product: Product, second: str
) -> None:
    """529s open its circuit once for all workers; the other serves; one probe brings it back; no call is lost."""
    product.fault(status=529, provider="anthropic")
    during = all_succeed(product, 30)
    ended = providers_of(product, during)
    assert ended[(second, "settled")] == 60
    assert ("anthropic", "settled") not in ended
    # Five failures open the circuit; what was on its way by then fails as well, and later probes do, one at a time.
    assert 5 <= ended[("anthropic", "failed")] <= 5 + 15 + 10
    assert product.calls()["total"] == sum(ended.values())
    assert {reason for reason, _ in product.query(TRIPS)} == {"overloaded_error"}
    assert [closed for _, closed in product.query(TRIPS)].count(True) == 0
    opened = len(product.query(TRIPS))

    product.stop_faults()
    time.sleep(1.6)
    all_succeed(product, 6)
    eventually(lambda: product.query(TRIPS)[-1] == ("overloaded_error", True), 10, "the circuit stays open")
    assert len(product.query(TRIPS)) <= opened + 1
    after = providers_of(product, all_succeed(product, 10))
    assert after == {("anthropic", "settled"): 20}
    assert broken_invariants(product) == {}


def test_a_step_over_the_providers_rate_waits_without_a_slot_and_buys_nothing_again(product: Product) -> None:
    """Four calls fit the minute; at the fifth the step gives its slot up, and goes on from there."""
    product.query(
        """INSERT INTO gateway_providerrate (provider_id, family, requests_per_minute)
        VALUES ('anthropic', 'claude-haiku', 4) RETURNING id"""
    )
    try:
        until_settings_are_known()
        workflow_id = product.submit("one_ask", {"calls": 5}, priority="interactive")
        eventually(
            lambda: (
                product.query(
                    "SELECT waiting_for FROM workflows_step WHERE workflow_id = %s AND status = 'waiting'",
                    workflow_id,
                )
                == [("rate",)]
            ),
            20,
            "the step does not wait",
        )
        (step,) = product.workflow(workflow_id)["steps"]
        assert (step["waiting_for"], step["waiting_until"] is None) == ("rate", False)
        assert product.calls()["total"] == 4
    finally:
        product.query("DELETE FROM gateway_providerrate RETURNING id")
    until_settings_are_known()
    calls = product.calls()["total"]
    product.reset_simulator()
    product.query("UPDATE workflows_step SET run_at = now() WHERE status = 'waiting' RETURNING id")
    workflow = product.finished(workflow_id)
    assert (workflow["status"], calls + product.calls()["total"]) == ("succeeded", 5)
    attempts = product.query(
        """SELECT a.attempt, a.outcome, a.error_code FROM workflows_stepattempt a
        JOIN workflows_step s ON s.id = a.step_id WHERE s.workflow_id = %s""",
        workflow_id,
    )
    assert attempts == [(1, "waited", "rate_limited")]
    assert broken_invariants(product) == {}


def test_a_better_model_is_asked_when_an_answer_is_not_good_enough(product: Product) -> None:
    """The fast model answers nothing; the balanced one does; both are paid for, and the call says why."""
    product.set_provider("anthropic", quality={"by_model": {"claude-haiku-5-5": 0.0}})
    workflow_id = product.submit("summarize_document", {"text": "A lease is a promise. " * 40})
    assert product.finished(workflow_id)["status"] == "succeeded"
    calls = product.query(
        """SELECT tier, escalated_from, status FROM gateway_call WHERE workflow_id = %s
        AND agent = 'summarize_part' ORDER BY ordinal""",
        workflow_id,
    )
    assert calls == [("fast", "", "settled"), ("balanced", "fast", "settled")]
    assert broken_invariants(product) == {}


def test_a_stream_is_told_when_what_it_heard_is_void(product: Product) -> None:
    """The first answer breaks off in the middle; the second is the whole of it, and begins with that."""
    product.fault(break_stream_after=3, count=1)
    workflow_id = product.submit("one_ask", {"calls": 1}, priority="interactive")
    told = [data for _, kind, data in product.events(workflow_id) if kind == "token"]
    restarts = [number for number, data in enumerate(told) if data.get("restarts")]
    assert restarts
    (step,) = product.workflow(workflow_id)["steps"]
    assert step["status"] == "succeeded"
    final = "".join(data["text"] for data in told[restarts[-1] :])
    assert [final] == product.workflow(workflow_id)["result"]["texts"]
