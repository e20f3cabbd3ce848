"""A tenant asks a question about its own documents, over REST, on real processes."""

from __future__ import annotations

import pytest

from tests.product import Product, broken_invariants

KEYS = """# API keys

## Rotating

To rotate an API key, choose the action 'Rotate' in the admin. The old key works for another hour.

## Revoking

A revoked key is answered with 401 at once.
"""


def test_a_question_is_answered_with_its_sources_and_its_cost(product: Product) -> None:
    """Upload, ask without naming a type, read the answer."""
    document_id = product.document("Keys", KEYS)
    workflow_id = product.submit(None, {"question": "How do I rotate an API key?"}, priority="interactive")
    workflow = product.finished(workflow_id)
    assert workflow["type"] == "answer_question"
    assert workflow["status"] == "succeeded", workflow
    assert "choose the action 'Rotate'" in workflow["result"]["answer"]
    assert {source["document_id"] for source in workflow["result"]["sources"]} == {document_id}
    assert workflow["cost_usd_micros"] > 0
    assert workflow["degradations"] == []
    assert [step["status"] for step in workflow["steps"]] == ["succeeded"] * 3
    assert 0 < workflow["coordination_seconds"] < 5
    assert broken_invariants(product) == {}


def test_a_question_that_nothing_answers_is_said_to_be_so(product: Product) -> None:
    """No passage, no model call for the answer, and a degradation that says why."""
    with product.as_new_tenant("knows nothing to answer"):
        workflow_id = product.submit("answer_question", {"question": "Measles symptoms among toddlers?"})
        workflow = product.finished(workflow_id)
    assert workflow["status"] == "succeeded"
    assert workflow["result"]["sources"] == []
    assert [item["code"] for item in workflow["degradations"]] == ["no_passages"]


def test_the_stream_tells_every_step_and_ends(product: Product) -> None:
    """Each step runs and succeeds, then the workflow; Last-Event-ID goes on where a client stopped."""
    workflow_id = product.submit("ten_noops", {})
    events = list(product.events(workflow_id))
    kinds = [event for _, event, _ in events]
    assert kinds[-2:] == ["workflow.status", "done"]
    told = [(data["key"], data["status"]) for _, event, data in events if event == "step.status"]
    assert told == [(f"step_{n}", status) for n in range(10) for status in ("running", "succeeded")]
    resumed = list(product.events(workflow_id, **{"Last-Event-ID": events[5][0]}))
    assert resumed == events[6:]
    assert [kind for _, kind, _ in product.events(workflow_id, **{"Last-Event-ID": events[-1][0]})] == [
        "done"
    ]


def test_the_stream_carries_the_models_words_while_they_are_spoken(product: Product) -> None:
    """Token events, in order, add up to the answer."""
    product.fault(delay_seconds=1, count=1)
    workflow_id = product.submit("one_ask", {"calls": 1}, priority="interactive")
    events = list(product.events(workflow_id))
    spoken = "".join(data["text"] for _, kind, data in events if kind == "token")
    assert spoken == product.workflow(workflow_id)["result"]["texts"][0]
    assert {data["key"] for _, kind, data in events if kind == "token"} == {"step_0"}


def test_a_fan_out_is_added_up(product: Product) -> None:
    """Forty elements, in parallel, each once."""
    workflow = product.finished(product.submit("fan_out", {"count": 40}))
    assert workflow["result"] == {"sum": sum(2 * n for n in range(40))}
    assert len(workflow["steps"]) == 42


def test_a_fan_out_over_too_much_is_refused_or_ends_the_run(product: Product) -> None:
    """A list of the input at its place, before anything is stored; a list of an output with its step."""
    response = product.http.post(
        "/api/v1/workflows/", json={"type": "each", "input": {"items": [0] * 10_001}}
    )
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == "/input/items"
    assert "at most 10000" in error["detail"]
    workflow = product.finished(product.submit("fan_out", {"count": 10_001}))
    assert workflow["status"] == "failed"
    assert (workflow["error"]["code"], workflow["error"]["step"]) == ("fan_out_too_large", "list")
    assert len(workflow["steps"]) == 2


@pytest.mark.parametrize(("refusals", "attempts"), [(1, 1), (3, 2)])
def test_a_provider_blip_is_tried_again(product: Product, refusals: int, attempts: int) -> None:
    """One 529: the call's second try answers. Three: the step's second attempt does."""
    product.reset_simulator()
    product.fault(status=529, count=refusals)
    workflow = product.finished(product.submit("one_ask", {"calls": 1}, priority="interactive"))
    assert workflow["status"] == "succeeded"
    assert workflow["steps"][0]["attempts"] == attempts
    assert product.calls()["total"] == refusals + 1
    assert broken_invariants(product) == {}


def test_a_step_that_is_tried_again_buys_nothing_twice(product: Product) -> None:
    """The third of three calls fails: the next attempt replays two and makes one."""
    product.reset_simulator()
    workflow_id = product.submit("one_ask", {"calls": 3, "fail_once_after": 2}, priority="interactive")
    workflow = product.finished(workflow_id)
    assert workflow["status"] == "succeeded"
    assert workflow["steps"][0]["attempts"] == 2
    assert product.calls()["total"] == 3
    assert broken_invariants(product) == {}


def test_a_permanent_failure_says_which_step_and_why(product: Product) -> None:
    """The workflow fails at once; what came after never ran."""
    workflow = product.finished(product.submit("fails_for_good", {}))
    assert workflow["status"] == "failed"
    assert workflow["error"]["code"] == "made_to_fail"
    assert workflow["error"]["step"] == "broken"
    assert [step["status"] for step in workflow["steps"]] == ["succeeded", "dead", "cancelled"]


def test_a_part_that_may_be_skipped_is_left_out_and_said(product: Product) -> None:
    """Reduced quality instead of an error, labelled."""
    workflow = product.finished(product.submit("skips", {}))
    assert workflow["status"] == "partial"
    assert workflow["result"] == {"done": True}
    assert [item["code"] for item in workflow["degradations"]] == ["step_skipped"]


def test_a_cancelled_call_is_broken_off_and_paid_for(product: Product) -> None:
    """Cancel while the model is thinking: the run has ended at once, and a second cancel is refused."""
    product.fault(delay_seconds=8, count=1)
    workflow_id = product.submit("one_ask", {"calls": 1}, priority="interactive")
    _until_running(product, workflow_id)
    cancelled = product.http.post(f"/api/v1/workflows/{workflow_id}/cancel/")
    assert cancelled.status_code == 200
    assert cancelled.json()["status"] == "cancelled"
    again = product.http.post(f"/api/v1/workflows/{workflow_id}/cancel/")
    assert again.status_code == 409
    assert again.json()["type"] == "urn:agentplatform:problem:already-finished"
    assert broken_invariants(product) == {}


def test_a_workflow_does_not_start_a_call_that_could_take_it_over_its_limit(product: Product) -> None:
    """The step fails with what to do about it, and nothing was bought."""
    workflow_id = product.submit("one_ask", {"calls": 1}, max_cost_usd="0.000001")
    workflow = product.finished(workflow_id)
    assert workflow["status"] == "failed"
    assert workflow["error"]["code"] == "max_cost_exceeded"
    assert workflow["cost_usd_micros"] == 0
    assert product.calls()["total"] == 0
    generous = product.finished(product.submit("one_ask", {"calls": 1}, max_cost_usd="1"))
    assert generous["status"] == "succeeded"


def test_a_deadline_ends_a_run_that_takes_too_long(product: Product) -> None:
    """The run ends as failed at its deadline, and says so."""
    workflow_id = product.submit("one_sleep", {"seconds": 30}, deadline_seconds=2)
    workflow = product.finished(workflow_id, seconds=10)
    assert workflow["status"] == "failed"
    assert workflow["error"]["code"] == "deadline_exceeded"


def _until_running(product: Product, workflow_id: str) -> None:
    for _, _, data in product.events(workflow_id):
        if data.get("status") == "running":
            return
