"""Real processes are killed, the broker loses everything, the database goes away; then the database is asked."""

from __future__ import annotations

import signal
import threading
import time

import redis

from tests.product import LONG, Product, broken_invariants, eventually


def running_attempts(product: Product, workflow_id: str) -> int:
    """How many attempts of the workflow's steps have been claimed."""
    return int(
        product.query(
            "SELECT coalesce(sum(attempt), 0) FROM workflows_step WHERE workflow_id = %s", workflow_id
        )[0][0]
    )


def test_a_killed_worker_costs_one_lease_and_no_settled_call(product: Product) -> None:
    """SIGKILL during the fifth of five calls: the next attempt starts within 20 s and buys only the fifth."""
    product.fault(delay_seconds=0.01, count=4)
    product.fault(delay_seconds=60, count=1)
    workflow_id = product.submit("one_ask", {"calls": 5}, priority="interactive")
    eventually(
        lambda: product.calls()["in_flight"] == 1 and product.calls()["total"] == 5, 20, "no fifth call"
    )
    killed_at = time.monotonic()
    product.stack.kill("interactive", signal.SIGKILL)
    eventually(lambda: running_attempts(product, workflow_id) == 2, 25, "no second attempt")
    assert time.monotonic() - killed_at <= 20
    workflow = product.finished(workflow_id)
    assert workflow["status"] == "succeeded"
    assert product.calls()["total"] == 6
    calls = product.query(
        "SELECT ordinal, status FROM gateway_call WHERE workflow_id = %s ORDER BY 1, 2", workflow_id
    )
    assert calls == [*((number, "settled") for number in range(5)), (4, "unknown")]
    assert broken_invariants(product) == {}


def test_flushall_on_the_broker_loses_no_workflow(product: Product) -> None:
    """All of 200 workflows in flight complete, though every hint in the broker was thrown away."""
    ids = [product.submit("ten_noops", {}) for _ in range(100)]
    ids += [product.submit("one_ask", {"calls": 1}) for _ in range(100)]
    broker = redis.Redis.from_url(product.stack.environment["BROKER_URL"])
    for _ in range(3):
        broker.flushall()
        time.sleep(0.2)
    broker.close()
    eventually(
        lambda: product.query("SELECT count(*) FROM workflows_workflow WHERE finished_at IS NULL") == [(0,)],
        90,
        "workflows were lost",
    )
    assert {product.workflow(workflow_id)["status"] for workflow_id in ids} == {"succeeded"}
    assert broken_invariants(product) == {}


def test_longer_than_a_lease_without_a_database_buys_nothing_twice(product: Product) -> None:
    """Workers hold on to what they have bought until the database is back; then everything completes."""
    product.fault(delay_seconds=5, count=40 if LONG else 10)
    ids = [product.submit("three_asks", {"calls": 2}, priority="standard") for _ in range(10)]
    eventually(lambda: product.calls()["in_flight"] == 5, 20, "no calls in flight")
    product.stack.stop("postgres")
    time.sleep(30 if LONG else 9)
    product.stack.start(["postgres"])
    for workflow_id in ids:
        eventually(lambda workflow_id=workflow_id: _ended(product, workflow_id), 120, "a workflow was lost")
    assert {product.workflow(workflow_id)["status"] for workflow_id in ids} == {"succeeded"}
    attempts = product.query(
        "SELECT max(attempt) FROM workflows_step WHERE workflow_id = ANY(%s::uuid[])", ids
    )
    assert attempts == [(1,)], "a step was taken from a worker that was alive"
    assert product.calls()["total"] == 10 * 3 * 2
    assert broken_invariants(product) == {}


def _ended(product: Product, workflow_id: str) -> bool:
    response = product.http.get(f"/api/v1/workflows/{workflow_id}/")
    return response.status_code == 200 and response.json()["finished_at"] is not None


def test_a_killed_dispatcher_is_replaced_by_the_other(product: Product) -> None:
    """Submissions go on within a few seconds, whichever of the two led."""
    stop = threading.Event()
    ids: list[str] = []

    def submit() -> None:
        while not stop.wait(0.1):
            ids.append(product.submit("one_noop", {}))

    submitter = threading.Thread(target=submit)
    submitter.start()
    for name in ("dispatcher", "dispatcher-standby", "dispatcher"):
        time.sleep(1)
        product.stack.kill(name, signal.SIGKILL)
        eventually(lambda name=name: product.stack.state(name) == "RUNNING", 15, f"{name} did not restart")
    stop.set()
    submitter.join()
    for workflow_id in ids:
        assert product.finished(workflow_id, seconds=15)["status"] == "succeeded"
    assert broken_invariants(product) == {}


def test_the_wake_ups_server_is_only_a_shortcut(product: Product) -> None:
    """Without the cache server everything polls: a workflow still runs and its stream still ends."""
    product.stack.stop("cache")
    try:
        workflow_id = product.submit("ten_noops", {})
        kinds = [event for _, event, _ in product.events(workflow_id)]
        assert kinds[-1] == "done"
        assert "redis: everything polls, so it is slower" in product.http.get("/readyz").json()["degraded"]
    finally:
        product.stack.start(["cache"])
    assert broken_invariants(product) == {}
