"""Scores, faults, revisions and lists of items: what the simulator does where something is to be judged."""

from __future__ import annotations

from typing import Any

import pytest

from agentplatform.simulator.answering.composing import compose_text
from agentplatform.simulator.answering.judging import bounds, drawn_score, faults_in
from agentplatform.simulator.answering.prompt import Passage, read_text
from agentplatform.simulator.answering.schema_filling import FillSource, fill_schema

LONG = "This sentence goes on and on, " + "and on, " * 15 + "until it ends; then it goes on once more."


def test_scores_vary_and_are_the_same_for_the_same_text() -> None:
    """Within their limits; more of them are high than low."""
    scores = [drawn_score(f"Text {number}.", 1, 10) for number in range(500)]
    assert scores == [drawn_score(f"Text {number}.", 1, 10) for number in range(500)]
    assert min(scores) < 5 < 9 < max(scores) <= 10
    assert 0.5 < sum(score >= 8 for score in scores) / 500 < 0.75


@pytest.mark.parametrize(
    "schema",
    [
        {"minimum": 1, "maximum": 10},
        {"description": "How good.\n\n{minimum: 1, maximum: 10}"},
    ],
)
def test_limits_are_read_where_they_stand(schema: dict[str, Any]) -> None:
    """As keywords, or where the SDK has written them."""
    assert bounds(schema) == (1, 10)
    object_ = {
        "type": "object",
        "properties": {"score": {"type": "integer", **schema}},
        "required": ["score"],
    }
    score = fill_schema(object_, FillSource("In 2026 it was 400 miles.", "Judge it."))["score"]
    assert 1 <= score <= 10


def test_a_score_that_the_text_tells_is_taken_from_it() -> None:
    """By its label."""
    schema = {"type": "object", "properties": {"score": {"type": "integer", "minimum": 0, "maximum": 100}}}
    assert fill_schema({**schema, "required": ["score"]}, FillSource("Score: 41", ""))["score"] == 41


def test_faults_are_those_that_can_be_counted() -> None:
    """Long sentences, repetitions, and parts without a source where others name one."""
    text = f"It is so. [1] It is so. [1]\n\n{LONG} [2]\n\nNobody says this."
    faults = faults_in(text, 10)
    assert [fault.partition(":")[0].partition(",")[0] for fault in faults] == [
        "Said twice",
        "Long",
        "No source is named for",
    ]
    assert faults_in("It is so. It is fine.", 10) == []


def test_a_draft_is_revised_where_that_is_asked() -> None:
    """Once is enough; a long sentence is divided, headings and sources stay."""
    draft = f"## A\n\nIt is so. [1]\nIt is so. [1]\n\n{LONG}"
    prompt = read_text(f"<draft>\n{draft}\n</draft>\n<faults>Said twice.</faults>\nRevise the draft.")
    revised = compose_text(prompt)
    assert revised.startswith("## A\n\nIt is so. [1]")
    assert revised.count("It is so.") == 1
    assert "until it ends. Then it goes on once more." in revised


def test_a_list_of_objects_has_one_for_each_item_under_its_id() -> None:
    """Each filled from its item alone, more than a dozen of them too."""
    entry = {
        "type": "object",
        "properties": {"index": {"type": "integer"}, "label": {"enum": ["billing", "technical"]}},
        "required": ["index", "label"],
    }
    schema = {
        "type": "object",
        "properties": {"items": {"type": "array", "items": entry}},
        "required": ["items"],
    }
    texts = ["The invoice is wrong.", "It crashes."] * 20
    items = tuple(Passage(str(number), text) for number, text in enumerate(texts, 100))
    filled = fill_schema(schema, FillSource("\n\n".join(texts), "Label them.", (), items))["items"]
    assert [one["index"] for one in filled] == list(range(100, 140))
    assert [one["label"] for one in filled] == ["billing", "technical"] * 20


def test_of_a_list_of_labels_those_are_given_that_fit() -> None:
    """By their names or by what is said of them; none where none fits, unless one must be."""
    labels = ("boats: Ships of any kind.", "cables: Wires and adapters.")
    items = {"type": "array", "items": {"enum": ["boats", "cables"]}}
    schema = {"type": "object", "properties": {"categories": items}, "required": ["categories"]}
    fitting = {
        text: fill_schema(schema, FillSource(text, "Moderate.", labels))["categories"]
        for text in ("A ship came in.", "Wires on a boat.", "Nothing of it.")
    }
    assert list(fitting.values()) == [["boats"], ["boats", "cables"], []]
    items["minItems"] = 1
    assert len(fill_schema(schema, FillSource("Nothing of it.", "", labels))["categories"]) == 1


def test_a_value_is_one_of_its_enumeration_whatever_stands_in_it() -> None:
    """Also where it looks like a label with a description."""
    schema = {"type": "object", "properties": {"kind": {"enum": ["a: b", "a: c"]}}, "required": ["kind"]}
    assert fill_schema(schema, FillSource("It is about c.", ""))["kind"] == "a: c"
