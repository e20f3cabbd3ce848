"""The agent that extracts data by a JSON Schema, and which schemas it takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentplatform.agents.agent import StepError
from agentplatform.agents.extracting import ExtractData
from agentplatform.agents.extraction_schema import check_extraction_schema, schema_fault
from agentplatform.llm.providers.output_format import output_format_schema
from tests.unit.agents.scripting import ONE, Script, attempt

INVOICE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "number": {"type": "string", "minLength": 3},
        "due": {"type": "string", "format": "date"},
        "total": {"type": ["number", "null"]},
    },
    "required": ["number"],
    "additionalProperties": False,
}
GOOD = '{"number": "A-1", "due": "2026-12-01", "total": 3.5}'


def extract(*answers: str, stop_reason: str = "end_turn", **fields: Any) -> tuple[Script, Any]:
    """What comes of these answers, and the model that gave them."""
    script = Script(*answers, stop_reason=stop_reason)
    step = attempt(script, {"schema": INVOICE, **fields}, {"read": {"text": "Invoice <A-1>."}})
    return script, ExtractData().run(step)


def test_data_that_satisfy_the_schema_are_the_output() -> None:
    """After one call, which holds the model to the schema and shows it the text, escaped."""
    script, output = extract(GOOD, instructions="Totals & taxes.")
    assert output == {
        "data": {"number": "A-1", "due": "2026-12-01", "total": 3.5},
        "repaired": False,
    }
    (request,) = script.asked
    assert request.output_schema == INVOICE
    assert "Invoice &lt;A-1&gt;." in script.prompts[0]
    assert "Totals &amp; taxes." in script.prompts[0]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ('{"due": "2026-12-01"}', "'number' is a required property"),
        ('{"number": "A"}', "number: does not satisfy minLength: 3"),
        ('{"number": "A-1", "due": "soon"}', "due: must be a date"),
        ('{"number": "A-1", "total": "3"}', "total: must be of type ['number', 'null']"),
        ("Here it is: {}", "the answer is no JSON"),
        ('{"number": "A-1", "total": NaN}', "the answer is no JSON"),
        ("", "the answer is no JSON"),
    ],
)
def test_an_answer_that_does_not_is_shown_to_the_model_once_with_what_is_wrong(
    answer: str, told: str
) -> None:
    """The second request has the first answer and the faults, and is held to the schema too."""
    script, output = extract(answer, GOOD)
    assert output["repaired"] is True
    assert output["data"]["number"] == "A-1"
    asked, said, wish = script.asked[1].messages
    assert asked == script.asked[0].messages[0]
    assert said == {"role": "assistant", "content": answer or "{}"}
    assert told in wish["content"]
    assert script.asked[1].output_schema == INVOICE


def test_a_second_answer_that_does_not_ends_the_step_and_says_what_failed() -> None:
    """For good, after two calls; nothing of the answer is in the message."""
    script = Script('{"number": "secret"}'.replace("number", "surprise"), '{"surprise": "secret"}')
    step = attempt(script, {"schema": INVOICE}, {"read": {"text": "Text."}})
    with pytest.raises(StepError) as caught:
        ExtractData().run(step)
    assert (caught.value.code, caught.value.transient) == ("extraction_invalid", False)
    assert "'number' is a required property" in caught.value.message
    assert "properties that the schema does not know" in caught.value.message
    assert "secret" not in caught.value.message
    assert "surprise" not in caught.value.message
    assert len(script.asked) == 2


def test_data_that_end_in_the_middle_are_not_taken() -> None:
    """Even when what there is happens to be valid."""
    with pytest.raises(StepError, match="end in the middle"):
        extract(GOOD, GOOD, stop_reason="max_tokens")


def prop(schema: Any) -> dict[str, Any]:
    """A schema with one property."""
    return {"type": "object", "properties": {"a": schema}}


NESTED: dict[str, Any] = {"type": "string"}
for _ in range(12):
    NESTED = {"type": "array", "items": NESTED}
WIDE = {
    "type": "object",
    "properties": {str(n): {"$ref": "#/$defs/d0"} for n in range(20)},
    "$defs": {
        f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(4)
    }
    | {"d4": {"type": "string"}},
}


@pytest.mark.parametrize(
    ("schema", "place", "told"),
    [
        ({"type": "array", "items": {"type": "string"}}, "", '"type": "object"'),
        ({"type": "object"}, "", "properties"),
        (prop({}), "properties/a", "says nothing of what is wanted"),
        (prop(True), "properties/a", "must be a JSON object"),
        (prop({"type": "strng"}), "properties/a/type", "must be one of"),
        (prop({"type": {"x": 1}}), "properties/a/type", "must be one of"),
        (prop({"type": "array"}), "properties/a", "items"),
        (prop({"enum": []}), "properties/a/enum", "at least one element"),
        (prop({"enum": [{}]}), "properties/a", "enum and const are"),
        (prop({"anyOf": {}}), "properties/a/anyOf", "at least one element"),
        (prop({"type": "string", "minLength": -1}), "properties/a/minLength", "minimum: 0"),
        (prop({"type": "string", "pattern": "(a+)+$"}), "properties/a/pattern", "not supported"),
        (prop({"if": {}, "type": "string"}), "properties/a/if", "not supported"),
        (
            prop({**prop({"type": "string"}), "additionalProperties": {"type": "string"}}),
            "properties/a/additionalProperties",
            "true or false",
        ),
        (prop({"$ref": "https://example.com/s.json"}), "properties/a/$ref", "in the schema itself"),
        (prop({"$ref": "#"}), "properties/a/$ref", "in the schema itself"),
        (prop({"$ref": "#/$defs/x"}), "properties/a/$ref", "does not have"),
        ({**prop({"type": "string"}), "$defs": {"x": {"$ref": "#/$defs/x"}}}, "$defs/x/$ref", "itself"),
        (
            {**prop({"type": "string"}), "$schema": "http://json-schema.org/draft-07/schema#"},
            "$schema",
            "2020",
        ),
        ({**prop({"type": "string"}), "$id": "https://example.com/"}, "$id", "not supported"),
        ({"type": "object", "properties": ["a"]}, "properties", "by name"),
        (prop(NESTED), "properties/a" + "/items" * 12, "nested at most"),
        (WIDE, None, "unfolds to more than"),
        (prop({"type": "string", "description": "x" * 32_000}), "", "characters"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_at_its_place(
    schema: dict[str, Any], place: str | None, told: str
) -> None:
    """Before any model is asked; also one that would cost without bound to validate with."""
    fault = schema_fault(schema)
    assert fault is not None
    assert told in fault.message
    if place is not None:
        assert "/".join(str(part) for part in fault.path) == place
    (shown,) = check_extraction_schema(ONE, {"schema": schema})
    assert shown.path == ("schema", *fault.path)


@pytest.mark.parametrize(
    "schema",
    [
        INVOICE,
        prop({"enum": ["a", None, 1]}),
        prop({"const": True}),
        prop({"oneOf": [{"type": "string"}, {"type": "integer", "minimum": 1}]}),
        prop({"allOf": [prop({"type": "string"})]}),
        prop({"type": ["object", "null"], "properties": {"b": {"type": "string"}}}),
        {**prop({"$ref": "#/$defs/line"}), "$defs": {"line": {"type": "array", "items": {"type": "number"}}}},
        {**prop({"type": "string"}), "$schema": "https://json-schema.org/draft/2020-12/schema"},
    ],
)
def test_a_schema_that_is_taken_can_be_sent(schema: dict[str, Any]) -> None:
    """In the form the API holds a model to: a JSON object without lists of types."""
    assert schema_fault(schema) is None
    assert list(check_extraction_schema(ONE, {"schema": schema})) == []
    sent = output_format_schema(schema)
    assert sent["type"] == "object"
    assert '"type": [' not in json.dumps(sent)


def test_one_of_several_types_keeps_what_is_said_of_it() -> None:
    """The limits that the API does not know stand in the description."""
    sent = output_format_schema(INVOICE)["properties"]
    assert sent["total"] == {"anyOf": [{"type": "number"}, {"type": "null"}]}
    assert sent["number"] == {"type": "string", "description": "{minLength: 3}"}
    several = output_format_schema(
        prop({"type": ["object", "null"], "properties": {"b": {"type": "string"}}})
    )
    assert several["properties"]["a"]["anyOf"][0]["properties"] == {"b": {"type": "string"}}
