"""The agents that criticise a draft, revise it and finish the report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentplatform.agents.criticising import (
    MAX_FAULT_CHARACTERS,
    MAX_FAULTS,
    CritiqueReport,
    FinishReport,
    ReviseReport,
)
from tests.unit.agents.scripting import Script, attempt, codes

TOPIC = {"topic": "Leases & locks"}
DRAFT = {
    "topic": "Leases & locks",
    "report": "## One\n\nIt <expires>. [1]",
    "sections": [{"heading": "One", "text": "It <expires>. [1]", "sources": [1]}],
    "sources": [{"number": 1, "title": "Docs", "heading": "A", "document_id": "d1"}],
    "missing": [],
}
SOURCE = {"passage": 3, "title": "Docs", "heading": "A", "document_id": "d1"}
NOTES = [
    {"question": "When?", "notes": "It expires. [3]", "sources": [SOURCE], "tools": ["search", "search"]},
    None,
    {"question": "Why?", "notes": "", "sources": [], "tools": ["calculator"]},
]
POOR = {"score": 5, "faults": ["Too <short>.", "Dull."]}


def test_a_draft_is_criticised_with_its_topic() -> None:
    """Both escaped; the answer has a score and faults."""
    script = Script(json.dumps(POOR))
    assert CritiqueReport().run(attempt(script, TOPIC, {"draft": DRAFT})) == POOR
    assert "<topic>Leases &amp; locks</topic>" in script.prompts[0]
    assert "It &lt;expires&gt;. [1]" in script.prompts[0]


def test_no_more_faults_are_taken_than_are_wanted() -> None:
    """Nor longer ones."""
    script = Script(json.dumps({"score": 1, "faults": ["x" * 900] * 40}))
    faults = CritiqueReport().run(attempt(script, TOPIC, {"draft": DRAFT}))["faults"]
    assert [len(fault) for fault in faults] == [MAX_FAULT_CHARACTERS] * MAX_FAULTS


@pytest.mark.parametrize("answer", ["", "fine", "[]", '{"score": 11, "faults": []}', '{"score": 5}'])
def test_a_critique_that_is_none_leaves_the_draft_as_it_is(answer: str) -> None:
    """No failure: the report is there, and it is said that nobody has judged it."""
    step = attempt(Script(answer, answer), TOPIC, {"draft": DRAFT})
    assert CritiqueReport().run(step) == {"score": None, "faults": []}
    assert codes(step) == ["critique_missing"]


def test_a_draft_is_revised_by_its_faults_from_the_notes() -> None:
    """Which have the numbers of the draft; nothing is taken from anywhere else."""
    script = Script(" ## One\n\nIt expires soon. [1] ")
    step = attempt(script, TOPIC, {"draft": DRAFT, "critique": POOR, "notes": NOTES})
    assert ReviseReport().run(step) == {"report": "## One\n\nIt expires soon. [1]"}
    assert "- Too &lt;short&gt;.\n- Dull." in script.prompts[0]
    assert "It expires. [1]" in script.prompts[0]


def finished(critique: Any, revise: Any) -> tuple[dict[str, Any], list[str]]:
    """The result of a run with this critique and revision, and its degradations."""
    needs = {"draft": DRAFT, "critique": critique, "revise": revise, "notes": NOTES}
    step = attempt(Script(), {}, needs)
    return FinishReport().run(step), codes(step)


def test_a_revised_report_stands_in_place_of_the_draft() -> None:
    """With sections of its own, and the sources of the draft."""
    result, told = finished(POOR, {"report": "## Two\n\nSoon. [1]"})
    assert result["report"] == "## Two\n\nSoon. [1]"
    assert result["sections"] == [{"heading": "Two", "text": "Soon. [1]", "sources": [1]}]
    assert (result["sources"], result["topic"]) == (DRAFT["sources"], DRAFT["topic"])
    assert result["critique"] == {**POOR, "revised": True}
    assert (result["tools"], told) == ({"search": 2, "calculator": 1}, [])


@pytest.mark.parametrize(
    ("critique", "told"),
    [
        ({"score": 9, "faults": []}, {"score": 9, "faults": [], "revised": False}),
        ({"score": None, "faults": []}, None),
        (None, None),
    ],
)
def test_a_draft_that_is_not_revised_is_the_report(critique: Any, told: Any) -> None:
    """Because it is good, or nobody could judge it."""
    result, degradations = finished(critique, None)
    assert {key: result[key] for key in DRAFT} == DRAFT
    assert (result["critique"], degradations) == (told, [])


def test_a_revision_without_any_source_is_not_taken() -> None:
    """The draft is, and it is said."""
    result, told = finished(POOR, {"report": "## Two\n\nSoon."})
    assert result["report"] == DRAFT["report"]
    assert (result["critique"]["revised"], told) == (False, ["revision_dropped"])
