"""A tenant has a topic researched in its own documents, over REST, on real processes."""

from __future__ import annotations

import pytest

from config.stack.layout import CHECKOUT
from tests.product import Product, broken_invariants

TOPIC = "What happens to a workflow when a worker, the broker or the provider fails"


@pytest.fixture
def documentation(product: Product) -> set[str]:
    """The ids of this project's documentation in the knowledge base."""
    ids = set()
    for path in ("docs/architecture.md", "docs/operations.md", "docs/glossary.md"):
        known = product.http.get("/api/v1/documents/", params={"external_id": path}).json()["results"]
        ids.add(
            known[0]["id"]
            if known
            else product.add_document(path, (CHECKOUT / path).read_text(), external_id=path)
        )
    return ids


def test_a_report_has_sections_and_sources(product: Product, documentation: set[str]) -> None:
    """Without a type; planned, noted in parallel, written up; every number is one of the sources."""
    workflow = product.finished(product.submit(None, {"topic": TOPIC}))
    assert (workflow["type"], workflow["status"]) == ("research_report", "succeeded"), workflow
    result = workflow["result"]
    assert result["missing"] == []
    assert 3 <= len(result["sections"]) <= 6
    assert all(section["heading"] and section["text"] for section in result["sections"])
    numbers = [source["number"] for source in result["sources"]]
    assert numbers == list(range(1, len(numbers) + 1))
    cited = {number for section in result["sections"] for number in section["sources"]}
    assert cited
    assert cited <= set(numbers)
    assert documentation & {source["document_id"] for source in result["sources"]}
    for section in result["sections"]:
        assert f"## {section['heading']}" in result["report"]
    steps = [step["key"].partition("[")[0] for step in workflow["steps"]]
    assert steps == ["survey", "plan", *["notes"] * len(result["sections"]), "report"]
    assert broken_invariants(product) == {}


def test_a_report_without_some_notes_is_partial_and_says_so(
    product: Product, documentation: set[str]
) -> None:
    """The provider refuses one call for notes for good."""
    product.fault(status=400, model="claude-haiku-5-5", count=1)
    workflow = product.finished(product.submit("research_report", {"topic": TOPIC}))
    assert workflow["status"] == "partial", workflow
    assert len(workflow["result"]["missing"]) == 1
    assert workflow["result"]["sections"]
    assert {"step_skipped", "notes_missing"} <= {item["code"] for item in workflow["degradations"]}
    assert broken_invariants(product) == {}


def test_a_topic_that_nothing_is_known_of_ends_the_run_and_says_why(product: Product) -> None:
    """At its first step, before any model is asked."""
    with product.as_new_tenant("knows nothing to report"):
        topic = {"topic": "Measles symptoms among toddlers"}
        workflow = product.finished(product.submit("research_report", topic))
    assert workflow["status"] == "failed"
    assert (workflow["error"]["code"], workflow["error"]["step"]) == ("nothing_found", "survey")
    assert product.calls()["total"] == 0


def test_a_topic_is_not_taken_for_a_question(product: Product) -> None:
    """And a question not for a topic: the plan says which definition would run."""
    for workflow_input, type_ in (
        ({"topic": "How do I rotate an API key?"}, "research_report"),
        ({"question": "Write a report on leases?"}, "answer_question"),
        ({"text": "Extract all data from this summary."}, "summarize_document"),
    ):
        response = product.http.post("/api/v1/workflows/", json={"input": workflow_input, "dry_run": True})
        assert response.json()["type"] == type_
