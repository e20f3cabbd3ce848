"""A tenant has many short texts classified, over REST, on real processes."""

from __future__ import annotations

from typing import Any

from tests.product import Product, broken_invariants

LABELS = ["billing", "technical", "account"]
TEXTS = {
    "billing": "Invoice {} was charged twice to my card.",
    "technical": "Version {} crashes with an error at start.",
    "account": "User {} cannot change the email of the profile.",
}
FAST, BALANCED = "claude-haiku-5-5", "claude-sonnet-5-5"


def items(count: int, start: int = 0) -> list[str]:
    """Texts of each label by turns."""
    return [TEXTS[LABELS[number % 3]].format(number) for number in range(start, start + count)]


def labels(run: dict[str, Any]) -> list[tuple[int, str]]:
    """The index and label of each item that has one."""
    return [(item["index"], item["label"]) for item in run["result"]["items"]]


def test_many_items_get_their_labels_chunk_by_chunk(product: Product) -> None:
    """Without a type; one call of the fast model for twenty-five, each item once and in order."""
    run = product.finished(product.submit(None, {"labels": LABELS, "items": items(300)}))
    assert (run["type"], run["status"]) == ("classify_items", "succeeded"), run
    assert labels(run) == [(number, LABELS[number % 3]) for number in range(300)]
    assert run["result"]["counts"] == dict.fromkeys(LABELS, 100)
    assert (run["result"]["unclassified"], run["result"]["asked_again"]) == ([], 0)
    assert product.calls()["by_model"] == {FAST: 12}
    assert broken_invariants(product) == {}


def test_items_of_a_chunk_that_failed_are_asked_about_one_by_one(product: Product) -> None:
    """All have their labels, and the run says that a step was skipped."""
    product.fault(status=400, model=FAST, count=1)
    run = product.finished(product.submit("classify_items", {"labels": LABELS, "items": items(60, 1_000)}))
    assert run["status"] == "partial", run
    assert labels(run) == [(number, LABELS[(number + 1_000) % 3]) for number in range(60)]
    assert run["result"]["asked_again"] in (10, 25)
    assert product.calls()["by_model"][BALANCED] == run["result"]["asked_again"]
    assert "step_skipped" in {item["code"] for item in run["degradations"]}


def test_what_no_model_gives_a_label_is_said(product: Product) -> None:
    """Its index is in the result, and what the others have got stays."""
    product.fault(status=400, model=FAST, count=1)
    product.fault(status=400, model=BALANCED, count=2)
    run = product.finished(product.submit("classify_items", {"labels": LABELS, "items": items(50, 2_000)}))
    assert run["status"] == "partial", run
    assert len(run["result"]["unclassified"]) == 2
    assert len(run["result"]["items"]) == 48
    assert "items_unclassified" in {item["code"] for item in run["degradations"]}


def test_in_the_batch_queue_the_calls_go_with_a_batch(product: Product) -> None:
    """At half the price; no chunk waits for another."""
    product.set_provider("anthropic", batches={"seconds": 1})
    run = product.finished(
        product.submit("classify_items", {"labels": LABELS, "items": items(200, 3_000)}, priority="batch")
    )
    assert (run["status"], len(run["result"]["items"])) == ("succeeded", 200), run
    lanes = product.query(
        "SELECT lane, count(*) FROM gateway_call WHERE workflow_id = %s GROUP BY 1", run["id"]
    )
    assert lanes == [("batch", 8)]
    assert broken_invariants(product) == {}
