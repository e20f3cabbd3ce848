"""A tenant has a topic researched in its own documents, over REST, on real processes."""

from __future__ import annotations

import pytest

from config.stack.layout import CHECKOUT
from tests.product import Product, broken_invariants, eventually

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
    assert steps == [
        "survey",
        "plan",
        *["notes"] * len(result["sections"]),
        "draft",
        "critique",
        "revise",
        "report",
    ]
    assert 1 <= result["critique"]["score"] <= 10
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


HALL = """# The hall

## How many seats are in 12 * 37 rows of the hall?

The hall has rows of the same length; the last row is for the press; nobody else may sit there, whoever they are and
whatever they have been told at the door by those who let them in. The hall opens at seven.

## When does the hall open?

The hall opens at seven. Doors close at eight.

## Who may sit in the last row of the hall?

The last row is for the press. The hall opens at seven.
"""


def test_reports_are_criticised_and_revised_where_they_are_not_good_enough(product: Product) -> None:
    """Once; a tool was used where a question takes one. The powerful model is asked again for a revision alone."""
    topics = [f"The seats and rows of the hall, part {number}" for number in range(6)]
    with product.as_new_tenant("reports on a hall"):  # with one document, which never changes
        product.document("The hall", HALL)
        ids = [product.submit("research_report", {"topic": topic}) for topic in topics]
        runs = [product.finished(workflow_id) for workflow_id in ids]
    results = []
    for run in runs:
        assert (run["status"], run["degradations"]) == ("succeeded", []), run
        critique = run["result"]["critique"]
        revise = next(step for step in run["steps"] if step["key"] == "revise")
        assert critique["revised"] == (critique["score"] < 8 and bool(critique["faults"]))
        assert revise["status"] == ("succeeded" if critique["revised"] else "omitted")
        results.append(run["result"])
    assert {result["critique"]["revised"] for result in results} == {True, False}
    assert all(result["tools"].get("calculator") == 1 for result in results)
    assert all("444" in result["report"] for result in results)
    revised = sum(result["critique"]["revised"] for result in results)
    assert product.calls()["by_model"]["claude-opus-5-5"] == len(ids) + revised
    assert broken_invariants(product) == {}


@pytest.mark.usefixtures("documentation")
def test_in_the_batch_queue_notes_and_draft_go_with_batches(product: Product) -> None:
    """One after the other; the plan, which all the others wait for, is asked for at once."""
    product.set_provider("anthropic", batches={"seconds": 0.3})
    topic = {"topic": "How a worker claims a step and renews its lease"}
    workflow_id = product.submit("research_report", topic, priority="batch")

    def lanes() -> dict[str, str]:
        return dict(
            product.query(
                """SELECT s.node, string_agg(DISTINCT c.lane, ' ') FROM gateway_call c
                JOIN workflows_step s ON s.id = c.step_id WHERE c.workflow_id = %s GROUP BY 1""",
                workflow_id,
            )
        )

    eventually(lambda: "draft" in lanes(), 30, "no draft is asked for")
    assert lanes() == {"plan": "live", "notes": "batch", "draft": "batch"}
    assert product.http.post(f"/api/v1/workflows/{workflow_id}/cancel/").status_code in (200, 202)
    product.finished(workflow_id)
