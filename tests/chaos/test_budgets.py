"""The last of a budget, spent by many processes while things break: not a micro-dollar over, and hardly any left."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from config.stack.layout import CHECKOUT
from tests.product import LONG, Product, broken_invariants, eventually

PROCESSES = 64 if LONG else 12
CAP_USD = "0.1" if LONG else "0.012"
KILLS = 40 if LONG else 4
USD_MICROS_PER_TOKEN = {"input_tokens": 0.1, "output_tokens": 0.5}
"""Of the model that is called, as listed: what the provider bills."""


@pytest.mark.timeout(900)
def test_the_last_of_a_budget_is_spent_to_the_micro_dollar(
    product: Product, record_property: pytest.RecordProperty
) -> None:
    """By calls that fall back, break off, go with batches, and whose processes are killed."""
    product.stack.start(["beat"])
    product.set_provider("anthropic", batches={"seconds": 1})
    command = [sys.executable, "-m", "tests.benchmarks.spenders", str(PROCESSES), CAP_USD, str(KILLS)]
    done = subprocess.run(
        command,
        env=dict(product.stack.environment),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=480,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    for name, value in told.items():
        record_property(name, value)
    cap = told["cap_usd_micros"]
    assert told["killed"] == KILLS
    assert 0.98 * cap <= told["used_usd_micros"] <= cap, told
    assert told["used_usd_micros"] == told["ledger_usd_micros"]
    assert all(told[kind] for kind in ("failed", "fallbacks", "batched")), told
    # Of a few that are killed it may be that none was in the midst of a call.
    assert told["unknown_usd_micros"] or not LONG, told
    assert product.query("SELECT count(*) FROM budgets_reservation") == [(0,)]
    billed = sum(
        price * call[bucket]
        for call in product.calls()["calls"]
        for bucket, price in USD_MICROS_PER_TOKEN.items()
    )
    assert LONG or billed <= told["used_usd_micros"]
    eventually(lambda: not broken_invariants(product), 20, "the books do not balance")
    product.stack.stop("beat")
    product.query("UPDATE budgets_budget SET is_enabled = false RETURNING id")
    product.query("DELETE FROM gateway_tierprovider WHERE provider_id = 'second' RETURNING id")
