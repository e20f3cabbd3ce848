"""A tenant has documents summed up, over REST, on real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from config.stack.layout import CHECKOUT
from tests.product import LONG, Product, broken_invariants

MEBIBYTE = 1024 * 1024
WORKERS = ("interactive", "standard", "batch")


def long_text(characters: int) -> str:
    """A text of so many characters, of sections that differ, which no compression makes small."""
    sections: list[str] = []
    length, number = 0, 0
    while length < characters:
        number += 1
        facts = " ".join(
            f"Machine {number * 37 % 9973} in hall {part} made {number * part * 7919 % 99991} parts on day {number}."
            for part in range(1, 12)
        )
        sections.append(f"## Report {number}\n\n{facts}\n\n")
        length += len(sections[-1])
    return "".join(sections)[:characters]


def sentences_in(summary: str, text: str) -> bool:
    """Whether every sentence of a summary stands in the text."""
    flat = " ".join(text.split())
    return all(sentence.strip(" .") in flat for sentence in summary.split(". "))


def test_a_document_is_summed_up_part_by_part(product: Product) -> None:
    """Uploaded, named by its id, without a type; every part by the fast model, all by the balanced one."""
    text = long_text(50_000)
    workflow_id = product.submit(
        None, {"document_id": product.add_document("A document", text), "max_words": 100}
    )
    workflow = product.finished(workflow_id)
    assert (workflow["type"], workflow["status"]) == ("summarize_document", "succeeded"), workflow
    result = workflow["result"]
    parts = result["parts"]
    assert parts == {"total": parts["total"], "summarized": parts["total"], "missing": []}
    assert parts["total"] >= 5
    assert 0 < result["word_count"] == len(result["summary"].split()) <= 100
    assert sentences_in(result["summary"], text)
    keys = [step["key"] for step in workflow["steps"]]
    assert keys == ["split", *(f"summarize[{n}]" for n in range(parts["total"])), "combine"]
    models = product.calls()["by_model"]
    assert (models["claude-haiku-5-5"], models["claude-sonnet-5-5"]) == (parts["total"], 1)
    assert workflow["degradations"] == []
    assert broken_invariants(product) == {}


def test_a_short_text_takes_one_call(product: Product) -> None:
    """As it was asked for: as bullets."""
    text = (CHECKOUT / "docs" / "glossary.md").read_text()[:4_000]
    workflow_id = product.submit("summarize_document", {"text": text, "style": "bullets"})
    workflow = product.finished(workflow_id)
    assert workflow["status"] == "succeeded"
    assert all(line.startswith("- ") for line in workflow["result"]["summary"].splitlines())
    assert product.calls()["total"] == 1


def test_a_part_that_cannot_be_summed_up_is_left_out_and_said(product: Product) -> None:
    """The provider refuses one call for good: the rest is summed up, and the result names what is missing."""
    product.fault(status=400, model="claude-haiku-5-5", count=1)
    workflow = product.finished(product.submit("summarize_document", {"text": long_text(50_000)}))
    assert workflow["status"] == "partial", workflow
    parts = workflow["result"]["parts"]
    assert len(parts["missing"]) == 1
    assert parts["summarized"] == parts["total"] - 1
    assert {"step_skipped", "parts_missing"} == {item["code"] for item in workflow["degradations"]}
    assert workflow["error"]["code"] == "steps_skipped"
    assert broken_invariants(product) == {}


@pytest.mark.parametrize(
    ("workflow_input", "pointer", "told"),
    [
        ({}, "/input", "exactly one of: text, document_id"),
        ({"text": "a", "document_id": "0193a1b2-0000-7000-8000-000000000000"}, "/input", "exactly one of"),
        ({"document_id": "0193a1b2-0000-7000-8000-000000000000"}, "/input/document_id", "no such document"),
        ({"document_id": "mine"}, "/input/document_id", "must be a uuid"),
        ({"text": "a", "style": "haiku"}, "/input/style", "must be one of"),
        ({"text": "a", "max_words": 5}, "/input/max_words", "minimum: 20"),
        ({"text": ""}, "/input/text", "minLength: 1"),
    ],
)
def test_what_cannot_be_summed_up_is_refused_at_its_place(
    product: Product, workflow_input: dict[str, Any], pointer: str, told: str
) -> None:
    """With 422, and nothing is stored; a dry run refuses the same."""
    for dry_run in (True, False):
        error = product.refusal({"type": "summarize_document", "input": workflow_input, "dry_run": dry_run})
        assert error["pointer"] == pointer
        assert told in error["detail"]


def test_a_document_of_another_tenant_is_not_there(product: Product) -> None:
    """It is answered as one that does not exist."""
    document_id = product.add_document("A document", "A secret of the demo tenant.")
    with product.as_new_tenant("summaries of others"):
        error = product.refusal({"type": "summarize_document", "input": {"document_id": document_id}})
    assert "no such document" in error["detail"]


def test_a_text_without_words_ends_the_run_and_says_why(product: Product) -> None:
    """It is white space alone."""
    workflow = product.finished(product.submit("summarize_document", {"text": " \n "}))
    assert (workflow["status"], workflow["error"]["code"]) == ("failed", "empty_document")


def worker_processes(product: Product) -> Iterator[psutil.Process]:
    """The processes of the workers that run steps."""
    working = "SELECT name FROM workflows_heartbeat WHERE kind = 'worker' AND queues && %s::varchar[]"
    for (name,) in product.query(working, list(WORKERS)):
        yield psutil.Process(int(name.split(":")[1]))


def peak_bytes(process: psutil.Process) -> int:
    """The most memory that the process has ever had resident (VmHWM)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("source", ["text", "document_id"] if LONG else ["text"])
def test_a_document_of_a_megabyte_takes_no_memory_to_speak_of(
    product: Product, source: str, record_property: Any
) -> None:
    """Ninety parts on several slots at once: only the step that splits it holds it whole."""
    text = long_text(MEBIBYTE - 10_000)
    warm_up = product.submit("summarize_document", {"text": long_text(60_000)})
    product.finished(warm_up)
    given = {"text": text} if source == "text" else {"document_id": product.add_document("A document", text)}
    processes = list(worker_processes(product))
    assert len(processes) == len(WORKERS)
    for process in processes:
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak is measured from here on
    before = {process.pid: process.memory_info().rss for process in processes}
    workflow = product.finished(product.submit("summarize_document", given), seconds=120)
    assert workflow["status"] == "succeeded", workflow["error"]
    parts = workflow["result"]["parts"]
    assert parts["total"] >= len(text) / 12_000
    assert parts["missing"] == []
    grown = max(max(0, peak_bytes(process) - before[process.pid]) for process in processes)
    record_property("worker_growth_mib", round(grown / MEBIBYTE, 1))
    assert grown < 24 * MEBIBYTE
    # What travels to a step of the fan-out is its part: every claim of one is far smaller than the document.
    ((largest,),) = product.query(
        "SELECT max(octet_length(workflows_step_input(input, definition_id, 'summarize')::text))"
        " FROM workflows_workflow WHERE id = %s",
        workflow["id"],
    )
    assert largest < 1_000
    assert broken_invariants(product) == {}
