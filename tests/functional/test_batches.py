"""The batch lane on real processes: grouped, waited for without a slot, settled at half the price, and killed."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from agentplatform.llm.messages import ModelResponse
from agentplatform.llm.pricing import PriceBook
from tests.product import Product, broken_invariants, eventually

UNFINISHED = """
    SELECT count(*) FROM gateway_providerbatch WHERE status NOT IN ('settled', 'cancelled', 'failed')"""
OPEN = "SELECT count(*) FROM gateway_batchrequest WHERE status IN ('pending', 'submitted')"


@pytest.fixture(autouse=True)
def _batches_end_soon(product: Product) -> None:
    product.set_provider("anthropic", batches={"seconds": 1})


def left(product: Product, count: int, **more: Any) -> list[str]:
    """Workflows whose steps wait for a batch."""
    ids = [product.submit("patient_ask", {}, priority="batch", **more) for _ in range(count)]
    eventually(lambda: waiting(product, ids) == count, 15, "not all steps wait for a batch")
    return ids


def waiting(product: Product, ids: list[str]) -> int:
    """How many steps of these workflows wait for a batch."""
    ((count,),) = product.query(
        """SELECT count(*) FROM workflows_step WHERE workflow_id = ANY(%s::uuid[])
        AND status = 'waiting' AND waiting_for = 'provider_batch'""",
        ids,
    )
    return int(count)


def all_succeed(product: Product, ids: list[str]) -> None:
    assert {product.finished(workflow_id, 30)["status"] for workflow_id in ids} == {"succeeded"}
    assert broken_invariants(product) == {}


def calls_of(product: Product, ids: list[str]) -> list[tuple[Any, ...]]:
    """Lane and status of every call of these workflows."""
    return product.query(
        "SELECT lane, status FROM gateway_call WHERE workflow_id = ANY(%s::uuid[]) ORDER BY 1, 2", ids
    )


def batches_at(product: Product) -> dict[str, Any]:
    """What the simulator says of its batches."""
    return dict(product.http.get(f"{product.simulator_url}/_control/providers/anthropic").json()["batches"])


def faults(product: Product) -> list[Any]:
    """The faults that the simulator has not used up."""
    return list(product.http.get(f"{product.simulator_url}/_control/faults").json()["faults"])


def test_many_workflows_go_in_few_batches_at_half_the_price_and_hold_no_slot(product: Product) -> None:
    """Sixty on twenty slots; other work of the queue goes on at once; each gets the answer to its own question."""
    product.set_provider("anthropic", batches={"seconds": 4})
    ids = left(product, 60)
    ((busy,),) = product.query(
        "SELECT count(*) FROM workflows_step WHERE status IN ('running', 'dispatched')"
    )
    assert busy == 0
    other = product.submit("one_noop", {}, priority="batch")
    assert product.finished(other, 3)["status"] == "succeeded"
    (step,) = product.workflow(ids[0])["steps"]
    assert (step["status"], step["waiting_for"]) == ("waiting", "provider_batch")
    all_succeed(product, ids)
    assert 1 <= batches_at(product)["created"] <= 5
    rows = product.query(
        """SELECT c.response, c.model, l.cost_usd_micros, c.step_id, c.lane
        FROM gateway_call c JOIN budgets_ledgerentry l ON l.call_id = c.id
        WHERE c.workflow_id = ANY(%s::uuid[])""",
        ids,
    )
    assert len(rows) == 60
    for stored, model, cost, step_id, lane in rows:
        response = ModelResponse.from_json(stored)
        full = PriceBook().of(model).cost_usd_micros(response.usage)
        assert (lane, cost) == ("batch", pytest.approx(full / 2, abs=1))
        assert str(step_id) in response.text
    assert product.query("SELECT count(*) FROM gateway_batchrequest WHERE request IS NOT NULL") == [(0,)]


def test_errors_and_expiry_go_to_the_ordinary_lane(product: Product) -> None:
    """At the full price; what the batch has answered stays."""
    product.set_provider("anthropic", batches={"seconds": 1, "errored_share": 0.25, "expired_share": 0.25})
    ids = left(product, 8)
    all_succeed(product, ids)
    lanes = calls_of(product, ids)
    assert lanes.count(("live", "settled")) >= 2
    assert lanes.count(("live", "settled")) == lanes.count(("batch", "failed"))
    assert lanes.count(("live", "settled")) + lanes.count(("batch", "settled")) == 8


def test_cancelled_workflows_end_their_batch(product: Product) -> None:
    """Nobody waits for it: it is cancelled at the provider, and costs nothing."""
    product.set_provider("anthropic", batches={"seconds": 600})
    ids = left(product, 3)
    eventually(lambda: batches_at(product)["created"] >= 1, 10, "no batch was sent")
    eventually(
        lambda: product.query("SELECT count(*) FROM gateway_batchrequest WHERE status = 'pending'") == [(0,)],
        10,
        "not all were sent",
    )
    for workflow_id in ids:
        assert product.http.post(f"/api/v1/workflows/{workflow_id}/cancel/").status_code == 200
    eventually(lambda: "in_progress" not in batches_at(product)["by_status"], 10, "it is not cancelled")
    assert product.query(OPEN) == [(0,)]
    assert {status for _, status in calls_of(product, ids)} <= {"started", "failed"}
    assert product.query(
        "SELECT DISTINCT cost_usd_micros FROM workflows_workflow WHERE id = ANY(%s::uuid[])", ids
    ) == [(0,)]


def test_what_comes_near_its_deadline_goes_back_to_the_ordinary_lane(product: Product) -> None:
    """Sixty seconds before it, as the setting says; the batch has it no longer."""
    product.set_provider("anthropic", batches={"seconds": 600})
    ids = left(product, 2, deadline_seconds=63)
    all_succeed(product, ids)
    lanes = calls_of(product, ids)
    assert lanes.count(("live", "settled")) == 2
    assert ("batch", "settled") not in lanes


def test_a_worker_that_is_killed_loses_nothing_that_was_left(product: Product) -> None:
    """SIGKILL while batches are under way: steps wait without it, and another one takes the answers."""
    product.set_provider("anthropic", batches={"seconds": 2})
    ids = left(product, 5)
    killed = product.stack.kill("batch", signal.SIGKILL)
    all_succeed(product, ids)
    # Its last heartbeat would be taken for a process by other tests.
    product.query("DELETE FROM workflows_heartbeat WHERE name LIKE %s RETURNING name", f"%:{killed}:%")
    assert calls_of(product, ids) == [("batch", "settled")] * 5


def test_a_batch_is_not_sent_twice_by_a_process_that_is_killed_while_it_sends(product: Product) -> None:
    """SIGKILL between the sending and the noting of its id: it is found in the provider's list."""
    eventually(
        lambda: product.query(UNFINISHED) == [(0,)], 20, "batches of other tests are still looked after"
    )
    product.fault(endpoint="batches", delay_seconds=1, count=1)
    ids = left(product, 5)
    eventually(lambda: not faults(product), 10, "no batch was sent")
    stopped = product.stack.kill("maintenance", signal.SIGSTOP)
    eventually(lambda: batches_at(product)["created"] == 1, 5, "it did not arrive")
    os.kill(stopped, signal.SIGKILL)
    assert product.query("SELECT count(*) FROM gateway_providerbatch WHERE status = 'submitting'") == [(1,)]
    all_succeed(product, ids)
    assert batches_at(product)["created"] == len(
        product.query(
            """SELECT DISTINCT batch_id FROM gateway_batchrequest WHERE workflow_id = ANY(%s::uuid[])""", ids
        )
    )
    assert calls_of(product, ids) == [("batch", "settled")] * 5
