"""A request without a type goes to the definition that takes it, and whose words are nearest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.workflows.classification import Unclassifiable, classify
from agentplatform.workflows.definition import Definition, StepSpec


def define(type_: str, schema: dict[str, Any] | None = None, **fields: Any) -> Definition:
    """A definition of one step."""
    return Definition(
        **{
            "type": type_,
            "title": type_,
            "description": "",
            "input_schema": schema or {"type": "object"},
            "steps": (StepSpec("one", "agent"),),
            "result": "one",
            **fields,
        }
    )


def needing(*names: str) -> dict[str, Any]:
    """The schema of an object with these texts."""
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(names),
        "additionalProperties": False,
    }


QUESTION = define("answer", needing("question"), description="Answers a question from documents.")
SUMMARY = define("summarize", needing("text"), description="Makes a summary of a text.")
ANYTHING = define("anything")


@pytest.mark.parametrize(
    ("workflow_input", "type_"),
    [
        ({"question": "Why?"}, "answer"),
        ({"text": "Long."}, "summarize"),
        ({"other": 1}, "anything"),
        ({}, "anything"),
    ],
)
def test_the_schema_decides(workflow_input: dict[str, Any], type_: str) -> None:
    """What a definition does not take it does not get."""
    assert classify([QUESTION, SUMMARY, ANYTHING], workflow_input).type == type_


def test_among_several_that_take_it_the_words_decide() -> None:
    """Those of title, description and examples, whatever the case."""
    billing = define("billing", needing("q"), description="Answers questions about invoices and refunds.")
    access = define("access", needing("q"), examples=({"q": "I cannot log in, reset my password"},))
    for question, expected in (("Where are my REFUNDS?", "billing"), ("password reset, please", "access")):
        assert classify([billing, access], {"q": question}).type == expected
        assert classify([access, billing], {"q": question}).type == expected


def test_a_tie_goes_to_the_more_exact_schema_then_by_name() -> None:
    """Always the same, whatever the order of the definitions."""
    exact = define("z", {"type": "object", "required": ["a", "b"]})
    loose = define("a", {"type": "object", "required": ["a"]})
    twin = define("b", {"type": "object", "required": ["a"]})
    assert classify([loose, twin, exact], {"a": 1, "b": 1}).type == "z"
    assert classify([twin, loose], {"a": 1}).type == classify([loose, twin], {"a": 1}).type == "a"


def test_what_nobody_takes_is_said_with_what_there_is() -> None:
    """The way out is to name a type."""
    with pytest.raises(Unclassifiable, match="answer, summarize"):
        classify([SUMMARY, QUESTION], {"other": 1})
    with pytest.raises(Unclassifiable):
        classify([], {})


@given(
    st.dictionaries(
        st.text(max_size=9),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner), max_leaves=9
        ),
    )
)
def test_any_input_is_classified(workflow_input: dict[str, Any]) -> None:
    """To one that takes it."""
    assert classify([QUESTION, ANYTHING], workflow_input) in (QUESTION, ANYTHING)


def test_a_definition_that_must_be_named_is_never_chosen() -> None:
    """However near its words are; and where no other takes the input, none is."""
    near = define("moderate", needing("text"), description="Moderates this very text.", is_named_only=True)
    summary = define("summary", needing("text"), description="Something else.")
    assert classify([near, summary], {"text": "this very text"}) is summary
    with pytest.raises(Unclassifiable):
        classify([near], {"text": "this very text"})
    assert Definition.from_json(near.to_json()) == near
    assert "is_named_only" not in summary.to_json()
