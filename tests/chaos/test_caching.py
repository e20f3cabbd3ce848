"""Workers are killed while many wait for one answer: another buys it, and nobody else does."""

from __future__ import annotations

import os
import signal
import time

from tests.product import Product, broken_invariants, eventually

BODY = {"type": "one_question", "input": {"question": "What do two hundred ask at once?"}}
FRESH = {"Cache-Control": "max-age=60"}
KILLS = 2


def test_equal_submissions_under_kills_are_paid_for_once_by_each_leader_that_survives(
    product: Product,
) -> None:
    """Two hundred, in two queues; the worker that leads is killed twice in mid-call."""
    product.fault(delay_seconds=90, count=KILLS)
    ids = []
    for number in range(200):
        body = BODY | {"priority": "interactive" if number % 2 else "standard"}
        response = product.http.post("/api/v1/workflows/", json=body, headers=FRESH)
        ids.append(response.json()["workflow_id"])
    for kill in range(1, KILLS + 1):
        eventually(lambda kill=kill: product.calls()["total"] == kill, 30, "nobody took over")
        ((worker,),) = product.query(
            "SELECT s.worker FROM gateway_call c JOIN workflows_step s ON s.id = c.step_id "
            "WHERE c.status = 'started' ORDER BY c.started_at DESC LIMIT 1"
        )
        os.kill(int(worker.split(":")[1]), signal.SIGKILL)  # whichever process serves the queue at the moment
        killed_at = time.monotonic()
    eventually(lambda: product.calls()["total"] == KILLS + 1, 30, "nobody took over")
    assert time.monotonic() - killed_at < 20
    eventually(
        lambda: product.query("SELECT count(*) FROM workflows_workflow WHERE finished_at IS NULL") == [(0,)],
        120,
        "some were not answered",
    )
    answers = {product.workflow(workflow_id)["result"]["answer"] for workflow_id in ids}
    assert len(answers) == 1
    assert product.calls()["total"] == KILLS + 1
    bought = product.query(
        "SELECT count(*) FROM budgets_ledgerentry WHERE kind = 'call' AND outcome = 'settled' AND cost_usd_micros > 0"
        " AND workflow_id = ANY(%s::uuid[])",
        ids,
    )
    assert bought == [(1,)]
    assert broken_invariants(product) == {}
