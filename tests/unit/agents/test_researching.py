"""The agents that plan research, take notes and write the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from agentplatform.agents.agent import StepError
from agentplatform.agents.registry import Registry
from agentplatform.agents.researching import (
    PLAN_SCHEMA,
    PlanResearch,
    WriteReport,
    number_sources,
    report_sections,
    take_notes,
)
from agentplatform.agents.tools.registered import RegisteredTools
from agentplatform.agents.tools.tool import ToolContext, ToolOutput, ToolSpec
from agentplatform.agents.tools.toolbox import Toolbox
from agentplatform.llm.messages import ModelRequest, ModelResponse, Usage
from agentplatform.llm.model import CallContext
from tests.unit.agents.scripting import Script, attempt, codes

QUESTIONS = ["What is a lease?", "Who renews it?", "When does it end?"]
PLAN = json.dumps({"questions": QUESTIONS})


def source(passage: int, heading: str, document: str = "d1") -> dict[str, Any]:
    """A source of a note."""
    return {"passage": passage, "title": "Docs", "heading": heading, "document_id": document}


def note(question: str, text: str, *sources: dict[str, Any]) -> dict[str, Any]:
    """The output of a step that took notes."""
    return {"question": question, "notes": text, "sources": list(sources)}


def test_a_plan_is_made_from_the_topic_and_what_there_is_on_it() -> None:
    """As JSON of a given shape, with both escaped."""
    script = Script(PLAN)
    step = attempt(script, {"topic": "Leases & locks"}, {"survey": {"headings": ["Leases <1>"]}})
    assert PlanResearch().run(step) == {"questions": QUESTIONS}
    assert script.asked[0].output_schema == PLAN_SCHEMA
    assert "<topic>Leases &amp; locks</topic>" in script.prompts[0]
    assert "- Leases &lt;1&gt;" in script.prompts[0]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "no",
        "[]",
        '{"questions": ["a?", "b?"]}',
        json.dumps({"questions": ["one?"] * 3}),
        json.dumps({"questions": [f"Question {n}?" for n in range(7)]}),
        json.dumps({"questions": ["x" * 301, "two?", "three?"]}),
    ],
)
def test_a_plan_that_is_none_is_asked_for_once_more(answer: str) -> None:
    """With another request, so that the journal does not replay it; twice is a failure."""
    script = Script(answer, PLAN)
    assert PlanResearch().run(attempt(script, {"topic": "Leases"}, {"survey": None})) == {
        "questions": QUESTIONS
    }
    assert script.asked[0].content_hash != script.asked[1].content_hash
    with pytest.raises(StepError) as caught:
        PlanResearch().run(attempt(Script(answer, answer), {"topic": "Leases"}, {"survey": None}))
    assert (caught.value.code, caught.value.transient) == ("no_plan", False)


def test_notes_are_taken_from_passages_with_their_sources() -> None:
    """Those that they cite."""
    passages = [
        {"title": "Docs", "heading": "A", "document_id": "d1", "text": "Not it."},
        {"title": "Docs", "heading": "B", "document_id": "d1", "text": "A lease <expires>."},
    ]
    script = Script(" It expires. [2] ")
    taken = take_notes(attempt(script, {}), QUESTIONS[2], passages)
    assert taken == note(QUESTIONS[2], "It expires. [2]", source(2, "B"))
    assert "A lease &lt;expires&gt;." in script.prompts[0]


class Answers:
    """A model that answers with these blocks, in order; a list of them asks for tools."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[ModelRequest] = []

    def complete(self, request: ModelRequest, context: CallContext) -> ModelResponse:
        self.asked.append(request)
        answer = self.answers.pop(0)
        content = ({"type": "text", "text": answer},) if isinstance(answer, str) else tuple(answer)
        stop_reason = "end_turn" if isinstance(answer, str) else "tool_use"
        return ModelResponse(content, stop_reason, Usage(), "m", "p", tier="fast")


class Finds:
    """A tool that returns this."""

    def __init__(self, name: str, content: Any) -> None:
        schema = {"type": "object", "properties": {"query": {"type": "string"}}}
        self.spec = ToolSpec(name=name, description="Finds things.", input_schema=schema)
        self._content = content

    def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutput:
        return ToolOutput(self._content)


def use(name: str) -> dict[str, Any]:
    """A block that asks for a tool."""
    return {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": {"query": "leases"}}


def test_what_tools_find_is_a_source_like_the_passages() -> None:
    """Under the numbers that follow; an address is the title of a page. Tools that failed are not named."""
    registry = Registry()
    found = {"title": "Guide", "heading": "C", "document_id": "d2", "text": "More."}
    registry.tool(lambda: Finds("search", {"passages": [found]}))
    registry.tool(lambda: Finds("fetch", {"url": "https://example.com/", "text": "Page."}))
    passages = [{"title": "Docs", "heading": "A", "document_id": "d1", "text": "First."}]
    model = Answers([use("search"), use("fetch")], [use("nothing")], "So. [2] And. [3]")
    step = attempt(model, {})
    step.tools = Toolbox(RegisteredTools(registry))
    step.options = {"tools": ["search", "fetch"], "optional_tools": ["missing"]}
    taken = take_notes(step, QUESTIONS[0], passages)
    assert taken["tools"] == ["search", "fetch"]
    assert taken["sources"] == [
        {"passage": 2, "title": "Guide", "heading": "C", "document_id": "d2"},
        {"passage": 3, "title": "https://example.com/", "heading": "", "document_id": None},
    ]
    results = [json.loads(block["content"])["result"] for block in model.asked[1].messages[-1]["content"]]
    assert (results[0]["passages"][0]["id"], results[1]["id"]) == (2, 3)


def test_without_a_passage_no_notes_are_taken() -> None:
    """No model is asked; it is said."""
    step = attempt(Script(), {})
    assert take_notes(step, "Why?", []) == note("Why?", "")
    assert codes(step) == ["no_passages"]


def test_sources_are_numbered_over_all_notes() -> None:
    """A place that two notes cite is one, one that none cites is none; what cites no source loses its number."""
    numbered, sources = number_sources(
        [
            note("One?", "First. [1] Second. [3]", source(1, "A"), source(3, "B")),
            note("None?", "The passages do not say.", source(1, "Z"), source(2, "Y")),
            note("Two?", "Third. [2] Fourth. [1] Fifth. [9]", source(2, "B"), source(1, "A", "d2")),
        ]
    )
    assert numbered == [
        ("One?", "First. [1] Second. [2]"),
        ("None?", "The passages do not say."),
        ("Two?", "Third. [2] Fourth. [3] Fifth. "),
    ]
    assert [(found["number"], found["heading"], found["document_id"]) for found in sources] == [
        (1, "A", "d1"),
        (2, "B", "d1"),
        (3, "A", "d2"),
    ]


def test_a_report_has_sections_with_the_sources_they_cite() -> None:
    """From all the notes, in the order of the plan."""
    notes = [note(question, f"So {n}. [1]", source(1, f"H{n}")) for n, question in enumerate(QUESTIONS)]
    script = Script("# Leases\n\nIn short. [3]\n\n## One ##\n\nSo. [2][1] And. [8]\n\n## Two\n\nMore.")
    step = attempt(script, {"topic": "Leases"}, {"plan": {"questions": QUESTIONS}, "notes": notes})
    result = WriteReport().run(step)
    assert result["sections"] == [
        {"heading": "Leases", "text": "In short. [3]", "sources": [3]},
        {"heading": "One", "text": "So. [2][1] And. [8]", "sources": [1, 2]},
        {"heading": "Two", "text": "More.", "sources": []},
    ]
    assert [found["heading"] for found in result["sources"]] == ["H0", "H1", "H2"]
    assert (result["missing"], codes(step)) == ([], [])
    assert script.prompts[0].index("So 0. [1]") < script.prompts[0].index("So 1. [2]")


def test_a_report_without_some_notes_says_so() -> None:
    """One was skipped, one found nothing: the rest is written up, and both are named."""
    notes = [None, note(QUESTIONS[1], "The worker. [1]", source(1, "A")), note(QUESTIONS[2], "")]
    step = attempt(
        Script("## Who\n\nThe worker. [1]"),
        {"topic": "Leases"},
        {"plan": {"questions": QUESTIONS}, "notes": notes},
    )
    result = WriteReport().run(step)
    assert result["missing"] == [QUESTIONS[0], QUESTIONS[2]]
    assert codes(step) == ["notes_missing"]
    assert "2 of 3" in step.degradations[0].message


def test_without_any_notes_there_is_no_report() -> None:
    """A permanent failure, and no model is asked."""
    step = attempt(
        Script(), {"topic": "Leases"}, {"plan": {"questions": QUESTIONS}, "notes": [None, None, None]}
    )
    with pytest.raises(StepError) as caught:
        WriteReport().run(step)
    assert (caught.value.code, caught.value.transient) == ("nothing_found", False)


@pytest.mark.parametrize("report", ["Just text. [1]", "# Title\nJust text. [1]"])
def test_a_report_without_headings_is_one_section_under_its_topic(report: str) -> None:
    """A model may do as it likes."""
    assert report_sections(report, "Leases", 1) == [
        {"heading": "Leases", "text": "Just text. [1]", "sources": [1]}
    ]
