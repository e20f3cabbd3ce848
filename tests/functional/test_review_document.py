"""A tenant has a document reviewed and approves the review, over REST, on real processes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.product import Product, broken_invariants, eventually

ASPECTS = ["facts", "style", "risks", "completeness"]
CONTRACT = (
    "# Supply of cables\n\nThe supplier delivers 400 cables a month. The supplier delivers 400 cables a month. "
    "Whenever a delivery is late for a reason that the supplier could have known of and has not told the buyer at least "
    "ten days before, the buyer may keep back a tenth of the price of each week of delay.\n\nThe contract ends in May."
)


def reviewed(product: Product, workflow_input: dict[str, Any], **more: Any) -> str:
    """The id of a run whose review waits for approval."""
    workflow_id = product.submit("review_document", workflow_input, **more)
    eventually(lambda: waits_for_approval(product, workflow_id), 30, "nobody is asked to approve")
    return workflow_id


def waits_for_approval(product: Product, workflow_id: str) -> bool:
    """Whether its step `approve` waits."""
    steps = {step["key"]: step for step in product.workflow(workflow_id)["steps"]}
    return bool(steps["approve"]["waiting_for"] == "approval")


def answer(product: Product, workflow_id: str, verb: str, comment: str) -> None:
    """Approves or rejects it, as a user does."""
    url = f"/api/v1/workflows/{workflow_id}/steps/approve/{verb}/"
    assert product.http.post(url, json={"comment": comment}).status_code == 200


def test_specialists_review_a_document_and_somebody_approves_it(product: Product) -> None:
    """Named by its id; in parallel, then put together, then released with who has done so."""
    document_id = product.add_document("Supply of cables", CONTRACT)
    workflow_id = reviewed(product, {"document_id": document_id, "focus": "the delivery"})
    answer(product, workflow_id, "approve", "Well seen.")
    run = product.finished(workflow_id)
    assert run["status"] == "succeeded", run
    result = run["result"]
    assert set(result["scores"]) == set(ASPECTS)
    assert all(1 <= score <= 10 for score in result["scores"].values())
    assert result["summary"]
    assert result["recommendation"] in ("accept", "revise", "reject")
    assert any("Said twice" in finding["comment"] for finding in result["findings"])
    assert (result["approval"]["approved"], result["approval"]["comment"]) == (True, "Well seen.")
    assert result["approval"]["by"].startswith("key ")
    assert [step["key"] for step in run["steps"]] == ["read", *ASPECTS, "synthesise", "approve", "conclude"]
    assert broken_invariants(product) == {}


def test_a_rejection_is_a_result_too(product: Product) -> None:
    """With the review, and why it was rejected."""
    workflow_id = reviewed(product, {"text": CONTRACT})
    answer(product, workflow_id, "reject", "Too harsh.")
    run = product.finished(workflow_id)
    assert run["status"] == "succeeded"
    assert (run["result"]["approval"]["approved"], run["result"]["approval"]["comment"]) == (
        False,
        "Too harsh.",
    )


def test_a_side_that_cannot_be_reviewed_is_missing_and_said(product: Product) -> None:
    """The others are put together; the result says what it lacks."""
    product.fault(status=400, count=1)
    workflow_id = reviewed(product, {"text": f"{CONTRACT} It is one of a kind."})
    answer(product, workflow_id, "approve", "")
    run = product.finished(workflow_id)
    assert run["status"] == "partial", run
    assert len(run["result"]["missing"]) == 1
    assert set(run["result"]["scores"]) == set(ASPECTS) - set(run["result"]["missing"])
    assert {"step_skipped", "aspects_missing"} <= {item["code"] for item in run["degradations"]}


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"text": "A text.", "document_id": "0193a1b2-0000-7000-8000-000000000000"}, "/input"),
        ({"document_id": "0193a1b2-0000-7000-8000-000000000000"}, "/input/document_id"),
        ({"text": "x" * 100_001}, "/input/text"),
    ],
)
def test_a_wrong_input_is_refused_at_its_place(product: Product, wrong: dict[str, Any], place: str) -> None:
    """Both or neither, a document that is not there, or one that is too long."""
    assert product.refusal({"type": "review_document", "input": wrong})["pointer"] == place
