"""Thousands of elements, approvals, signals, runs within runs and replays, over REST, on real processes."""

from __future__ import annotations

import time

from tests.product import LONG, Product, broken_invariants, eventually

ELEMENTS = 5_000 if LONG else 1_500
MEMORY_BYTES = 40_000_000
"""How much a worker may grow while it runs its share of them."""


def test_a_fan_out_of_thousands_runs_each_element_once_in_bounded_memory(product: Product) -> None:
    """A few at a time, whoever runs them; the outputs come together in order."""
    before = memory(product)
    workflow_id = product.submit("bounded", {"items": list(range(ELEMENTS))}, priority="interactive")
    most_active = 0
    deadline = time.monotonic() + 90
    while not product.query(
        "SELECT 1 FROM workflows_workflow WHERE id = %s AND status <> 'running'", workflow_id
    ):
        assert time.monotonic() < deadline, "the fan-out does not end"
        ((active,),) = product.query(
            "SELECT count(*) FROM workflows_step WHERE workflow_id = %s AND node = 'each' "
            "AND status IN ('ready', 'dispatched', 'running')",
            workflow_id,
        )
        most_active = max(most_active, active)
        time.sleep(0.5)
    workflow = product.workflow(workflow_id)
    assert workflow["status"] == "succeeded"
    assert workflow["result"] == {"each": [2 * number for number in range(ELEMENTS)]}
    assert {step["attempts"] for step in workflow["steps"]} == {1}
    assert 1 <= most_active <= 3
    grown = {name: size - before.get(name, size) for name, size in memory(product).items()}
    assert max(grown.values()) < MEMORY_BYTES, grown
    assert broken_invariants(product) == {}


def memory(product: Product) -> dict[str, int]:
    """What each worker says it takes."""
    return dict(product.query("SELECT name, rss_bytes FROM workflows_heartbeat WHERE kind = 'worker'"))


def test_a_run_waits_for_approval_and_goes_on_with_it(product: Product) -> None:
    """It holds no slot while it waits; the stream tells of the answer."""
    workflow_id = product.submit("approval", {})
    eventually(lambda: waits(product, workflow_id) == ["approval"], 20, "nobody is asked")
    url = f"/api/v1/workflows/{workflow_id}/"
    assert product.http.post(f"{url}steps/approve/approve/", json={"comment": "Yes."}).status_code == 200
    workflow = product.finished(workflow_id)
    assert (workflow["status"], workflow["result"]["key"]) == ("succeeded", "publish")
    assert product.http.post(f"{url}steps/approve/reject/", json={}).status_code == 409
    assert [data["name"] for _, kind, data in product.events(workflow_id) if kind == "workflow.signal"] == [
        "approve"
    ]


def test_a_signal_and_a_timer_wake_who_waits_for_them(product: Product) -> None:
    """One when it comes, the other at its time."""
    signalled = product.submit("signalled", {})
    timed = product.submit("timed", {"seconds": 1.5})
    eventually(lambda: waits(product, signalled) == ["signal"], 20, "it does not wait for its signal")
    product.http.post(f"/api/v1/workflows/{signalled}/signals/go/", json={"payload": 5})
    assert product.finished(signalled)["result"]["payload"] == 5
    assert 1.5 <= product.finished(timed)["result"]["waited_seconds"] < 10


def test_a_workflow_within_a_workflow_and_its_replay(product: Product) -> None:
    """The child's result is the step's output; a replay does not run it again."""
    outer = product.finished(product.submit("outer", {"output": {"count": 4}}))
    assert outer["result"] == {"inner": {"sum": 12}}
    again = product.http.post(f"/api/v1/workflows/{outer['id']}/replay/", json={"from_step": "last"})
    assert product.finished(again.json()["workflow_id"])["result"] == outer["result"]
    ((children,),) = product.query(
        "SELECT count(*) FROM workflows_workflow WHERE parent_id = %s", outer["id"]
    )
    assert children == 1
    assert broken_invariants(product) == {}


def waits(product: Product, workflow_id: str) -> list[str]:
    """What its steps wait for."""
    rows = product.query(
        "SELECT waiting_for FROM workflows_step WHERE workflow_id = %s AND status = 'waiting'", workflow_id
    )
    return [row[0] for row in rows]
