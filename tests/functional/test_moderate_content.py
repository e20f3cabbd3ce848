"""A tenant has what its users write moderated, over REST, on real processes."""

from __future__ import annotations

from tests.product import Product, broken_invariants

MODERATE = "moderate_content"
LIMIT = 0.8
FAST, POWERFUL = "claude-haiku-5-5", "claude-opus-5-5"
THANKS = [f"Thank you, parcel {number} arrived in time for the concert." for number in range(8)]


def test_a_text_is_judged_by_the_fast_model_and_by_a_better_one_where_it_is_not_sure(
    product: Product,
) -> None:
    """One call where it is sure; the result says which tier has decided."""
    runs = [product.finished(product.submit(MODERATE, {"text": text})) for text in THANKS]
    assert {run["status"] for run in runs} == {"succeeded"}
    results = [run["result"] for run in runs]
    assert {result["verdict"] for result in results} == {"allow"}
    assert {(result["tier"], result["escalated"]) for result in results} == {
        ("fast", False),
        ("powerful", True),
    }
    assert all(result["confidence"] >= LIMIT for result in results if not result["escalated"])
    escalated = sum(result["escalated"] for result in results)
    assert product.calls()["by_model"] == {FAST: len(runs), POWERFUL: escalated}
    for run in runs:
        statuses = [step["status"] for step in run["steps"]]
        assert statuses == [
            "succeeded",
            "succeeded" if run["result"]["escalated"] else "omitted",
            "succeeded",
        ]
    assert broken_invariants(product) == {}


def test_a_text_that_breaks_the_policy_is_blocked_with_its_categories(product: Product) -> None:
    """Of the policy that came with it, or else the platform's own."""
    threat = product.finished(product.submit(MODERATE, {"text": "I will kill you and bomb your house."}))
    assert threat["result"]["verdict"] == "block"
    assert threat["result"]["categories"] == ["violence"]
    policy = {"cables": "Offers of cables and adapters.", "boats": "Boats of any kind."}
    offer = product.finished(
        product.submit(MODERATE, {"text": "Click here for cheap cables.", "policy": policy})
    )
    assert (offer["result"]["verdict"], offer["result"]["categories"]) == ("flag", ["cables"])


def test_a_text_that_the_better_model_cannot_be_asked_about_is_flagged(product: Product) -> None:
    """What the fast model was not sure of is not published for want of a second opinion."""
    unsure = next(
        text
        for text in THANKS
        if product.finished(product.submit(MODERATE, {"text": text}))["result"]["escalated"]
    )
    product.fault(status=400, model=POWERFUL)
    run = product.finished(product.submit(MODERATE, {"text": unsure}))
    assert (run["status"], run["result"]["verdict"]) == ("partial", "flag")
    assert {"step_skipped", "verdict_unclear"} <= {item["code"] for item in run["degradations"]}


def test_an_input_without_a_type_is_not_taken_for_one_to_moderate(product: Product) -> None:
    """A text by itself is summed up; who wants it moderated says so."""
    text = "Extract all data from this summary of a text a user wrote."
    body = {"input": {"text": text}, "dry_run": True}
    assert product.http.post("/api/v1/workflows/", json=body).json()["type"] == "summarize_document"
    policy = {"type": MODERATE, "input": {"text": "A text.", "policy": {"Bad Name": "What it is."}}}
    assert "/input/policy" in product.refusal(policy)["pointer"]
