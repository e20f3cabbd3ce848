"""Cancel, pause, deadlines, time limits, poison and dead letters, on real processes with a model that takes its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.product import LONG, Product, broken_invariants, eventually

SLOW = "12"
"""How much slower than a real model the simulator is: several seconds to the first word, and as many to the last."""

BREAK_OFF_SECONDS = 2.0


@pytest.fixture(scope="module")
def _slow_product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    product = Product(
        tmp_path_factory.mktemp("interventions"),
        SIMULATOR_LATENCY_SCALE=SLOW,
        LEASE_SECONDS="4",
        LEASE_RENEWAL_SECONDS="1",
    )
    try:
        product.start()
        yield product
    finally:
        product.close()


@pytest.fixture
def product(_slow_product: Product) -> Product:
    """The running product, with a simulator that has no calls counted."""
    _slow_product.reset_simulator()
    return _slow_product


@pytest.fixture
def operator(product: Product) -> Iterator[httpx2.Client]:
    """Requests with an operator's key."""
    key = product.manage("operator", "create", f"ops-{time.monotonic_ns()}").split("ap_")[1].split()[0]
    with httpx2.Client(
        base_url=product.stack.base_url, timeout=30, headers={"Authorization": f"Bearer ap_{key}"}
    ) as client:
        yield client


def change(product: Product, workflow_id: str, verb: str) -> dict[str, Any]:
    """Cancels, pauses or resumes a workflow."""
    response = product.http.post(f"/api/v1/workflows/{workflow_id}/{verb}/")
    assert response.status_code == 200, response.text
    return dict(response.json())


def until_it_speaks(product: Product, workflow_id: str) -> None:
    """Returns once the model has said its first word, with the rest still to come."""
    for _, kind, _ in product.events(workflow_id):
        if kind == "token":
            return
    raise AssertionError("the model said nothing")


def in_flight(product: Product) -> int:
    return int(product.calls()["in_flight"])


def paid(product: Product, workflow_id: str) -> list[tuple[Any, ...]]:
    """What the ledger has of a workflow."""
    return product.query(
        "SELECT cost_usd_micros, output_tokens, estimated FROM budgets_ledgerentry WHERE workflow_id = %s",
        workflow_id,
    )


@pytest.mark.parametrize("speaking", [True, False])
def test_a_cancelled_call_stops_within_two_seconds_and_is_paid_for(product: Product, speaking: bool) -> None:
    """In the middle of its answer, or before its first word: at the tokens seen."""
    workflow_id = product.submit("one_ask", {"calls": 1}, priority="interactive")
    if speaking:
        until_it_speaks(product, workflow_id)
    else:
        eventually(lambda: in_flight(product) == 1, 10, "no call in flight")
    assert in_flight(product) == 1
    cancelled_at = time.monotonic()
    assert change(product, workflow_id, "cancel")["status"] == "cancelled"
    eventually(lambda: in_flight(product) == 0, 5, "the call goes on")
    took = time.monotonic() - cancelled_at
    assert took <= BREAK_OFF_SECONDS, f"the call went on for {took:.2f} s"
    eventually(lambda: paid(product, workflow_id), 5, "the call is not paid for")
    ((cost, output_tokens, estimated),) = paid(product, workflow_id)
    assert cost > 0
    assert estimated
    assert (output_tokens > 0) == speaking
    assert product.workflow(workflow_id)["cost_usd_micros"] == cost
    assert broken_invariants(product) == {}


def test_a_deadline_breaks_off_the_call_and_leaves_what_there_is(product: Product) -> None:
    """Partial, with the first step's output, a note for the second, and the call paid for at the tokens seen."""
    workflow_id = product.submit("noop_then_ask", {"calls": 9}, priority="interactive", deadline_seconds=16)
    until_it_speaks(product, workflow_id)
    workflow = product.finished(workflow_id, seconds=20)
    assert (workflow["status"], workflow["error"]["code"]) == ("partial", "deadline_exceeded")
    assert workflow["result"] == {"first": {"done": True}}
    (note,) = workflow["degradations"]
    assert (note["code"], note["step"]) == ("step_missing", "second")
    eventually(lambda: in_flight(product) == 0, BREAK_OFF_SECONDS, "the call goes on")
    eventually(lambda: paid(product, workflow_id), 5, "the call is not paid for")
    assert sum(cost for cost, _, _ in paid(product, workflow_id)) > 0
    assert broken_invariants(product) == {}


def test_a_paused_workflow_ends_what_runs_and_goes_on_when_it_is_resumed(product: Product) -> None:
    """The call is not broken off; the step after it waits."""
    workflow_id = product.submit("poison", {"kill": False}, priority="interactive")
    eventually(lambda: in_flight(product) == 1, 10, "no call in flight")
    assert change(product, workflow_id, "pause")["status"] == "paused"
    assert change(product, workflow_id, "pause")["status"] == "paused"
    eventually(
        lambda: product.workflow(workflow_id)["steps"][0]["status"] == "succeeded", 40, "the call did not end"
    )
    time.sleep(1.5)
    second = product.workflow(workflow_id)["steps"][1]
    assert (second["status"], second["waiting_for"], second["attempts"]) == ("waiting", "resume", 0)
    change(product, workflow_id, "resume")
    assert product.finished(workflow_id)["status"] == "succeeded"
    refused = product.http.post(f"/api/v1/workflows/{workflow_id}/pause/")
    assert refused.status_code == 409
    assert refused.json()["type"] == "urn:agentplatform:problem:already-finished"


def test_operators_pause_and_cancel_in_bulk(product: Product, operator: httpx2.Client) -> None:
    """By filter, for all that match; the tenant's key may not."""
    ids = [product.submit("one_sleep", {"seconds": 1}, priority="batch") for _ in range(20)]
    body = {"type": "one_sleep", "priority": "batch"}
    assert product.http.post("/api/v1/operations/workflows/pause/", json=body).status_code == 403
    tried = operator.post("/api/v1/operations/workflows/pause/", json={**body, "dry_run": True}).json()
    assert (tried["changed"], tried["operation_id"]) == (0, None)
    paused = operator.post("/api/v1/operations/workflows/pause/", json=body).json()
    assert paused["changed"] >= 10
    states = {product.workflow(workflow_id)["status"] for workflow_id in ids}
    assert states <= {"paused", "succeeded"}
    cancelled = operator.post("/api/v1/operations/workflows/cancel/", json={"ids": ids[-5:]}).json()
    assert cancelled["changed"] == 5
    operator.post("/api/v1/operations/workflows/resume/", json=body)
    for workflow_id in ids[:-5]:
        assert product.finished(workflow_id)["status"] == "succeeded"
    assert {product.workflow(workflow_id)["status"] for workflow_id in ids[-5:]} == {"cancelled"}
    names = product.query("SELECT name, affected FROM workflows_operatoraction ORDER BY id")
    assert ("workflows.cancel", 5) in names
    assert broken_invariants(product) == {}


def test_a_step_past_its_time_limit_is_tried_again_or_skipped(product: Product) -> None:
    """Its agent sleeps on where nobody can reach it; the workflow does not wait for that."""
    again, skipped = product.submit("slow_once", {}), product.submit("always_slow", {})
    workflow = product.finished(again, seconds=30)
    assert (workflow["status"], workflow["result"]) == ("succeeded", {"attempt": 2})
    workflow = product.finished(skipped, seconds=30)
    assert (workflow["status"], workflow["result"]) == ("partial", {"done": True})
    assert [(note["code"], note["step"]) for note in workflow["degradations"]] == [("step_skipped", "slow")]
    outcomes = product.query(
        "SELECT DISTINCT a.outcome FROM workflows_stepattempt a JOIN workflows_step s ON s.id = a.step_id "
        "WHERE s.workflow_id = ANY(%s::uuid[])",
        [again, skipped],
    )
    assert outcomes == [("timed_out",)]


@pytest.mark.skipif(not LONG, reason="make chaos")
def test_a_worker_whose_slots_are_all_stuck_is_started_anew(product: Product) -> None:
    """Five agents that do not come back hold its five slots; a sixth workflow does not wait for them."""
    ids = [product.submit("always_slow", {}, priority="batch") for _ in range(5)]
    eventually(lambda: _running(product, ids) == 5, 20, "they do not run at once")
    for workflow_id in ids:
        eventually(lambda key=workflow_id: _was_skipped(product, key), 30, "its time limit did not hold")
    following = product.submit("one_noop", {}, priority="batch")
    assert product.finished(following, seconds=60)["status"] == "succeeded"
    for workflow_id in ids:
        assert product.finished(workflow_id, seconds=30)["status"] == "partial"


def _running(product: Product, ids: list[str]) -> int:
    ((count,),) = product.query(
        "SELECT count(*) FROM workflows_step WHERE status = 'running' AND workflow_id = ANY(%s::uuid[])", ids
    )
    return int(count)


def _was_skipped(product: Product, workflow_id: str) -> bool:
    return bool(product.workflow(workflow_id)["steps"][0]["status"] == "skipped")


def test_submissions_are_accepted_without_a_broker_and_run_when_it_returns(product: Product) -> None:
    """202, and the row is all that there needs to be."""
    product.stack.stop("broker")
    try:
        ids = [product.submit("ten_noops", {}, priority="interactive") for _ in range(5)]
        time.sleep(3)
        assert {product.workflow(workflow_id)["status"] for workflow_id in ids} == {"running"}
    finally:
        product.stack.start(["broker"])
    for workflow_id in ids:
        assert product.finished(workflow_id, seconds=60)["status"] == "succeeded"
    assert broken_invariants(product) == {}


@pytest.mark.skipif(not LONG, reason="make chaos")
def test_a_poison_step_is_a_dead_letter_and_other_work_never_stops(
    product: Product, operator: httpx2.Client
) -> None:
    """It kills three workers, then no more; meanwhile others' work on the same queue ends; mended, it goes on."""
    workflow_id = product.submit("poison", {"kill": True}, priority="batch")
    others: list[str] = []
    until = time.monotonic() + 120
    while product.workflow(workflow_id)["finished_at"] is None:
        assert time.monotonic() < until, "the poison step goes on"
        for priority in ("batch", "interactive"):
            others.append(product.submit("one_noop", {}, priority=priority))
        time.sleep(1)
    poisoned = product.workflow(workflow_id)
    assert (poisoned["status"], poisoned["error"]["code"]) == ("failed", "worker_lost")
    assert poisoned["steps"][1]["attempts"] == 3
    for other in others:
        assert product.finished(other, seconds=60)["status"] == "succeeded"

    (letter,) = operator.get(f"/api/v1/dead-letters/?workflow={workflow_id}").json()["results"]
    assert (letter["reason"], letter["agent"], letter["status"]) == ("poison", "kill_worker", "open")
    detail = operator.get(f"/api/v1/dead-letters/{letter['id']}/").json()
    assert [attempt["outcome"] for attempt in detail["attempts"]] == ["lost"] * 3
    assert detail["payload"]["input"] == {"kill": True}
    eventually(
        lambda: any(
            group["fingerprint"] == letter["fingerprint"] and group["open_letters"] == 1
            for group in operator.get("/api/v1/dead-letters/groups/").json()
        ),
        45,
        "the letter was not filed",
    )
    calls_before = product.calls()["total"]
    body = {"ids": [letter["id"]], "input": {"kill": False}}
    tried = operator.post("/api/v1/dead-letters/requeue/", json={**body, "dry_run": True}).json()
    (told,) = tried["input_changes"][workflow_id]
    assert told == {"change": "replaced", "pointer": "/kill", "before": True, "after": False}
    first = operator.post("/api/v1/dead-letters/requeue/", json=body).json()
    second = operator.post("/api/v1/dead-letters/requeue/", json=body).json()
    assert (first["requeued"], second["requeued"]) == (1, 0)
    mended = product.finished(workflow_id)
    assert (mended["status"], mended["result"]) == ("succeeded", {"survived": True})
    assert product.calls()["total"] == calls_before, "what an earlier step had paid for was bought again"
    assert mended["cost_usd_micros"] == poisoned["cost_usd_micros"] > 0
    assert broken_invariants(product) == {}
