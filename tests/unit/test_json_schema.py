"""What is wrong with a value is said at its place, and without the value."""

from __future__ import annotations

from typing import Any

import pytest

from agentplatform.json_schema import MAX_FAULTS, faults_of

ONE_OF = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
    "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
}


@pytest.mark.parametrize(
    ("schema", "value", "place", "message"),
    [
        ({"type": "string"}, 1, "the whole", "must be of type string"),
        ({"items": {"enum": ["x"]}}, ["x", "secret"], "1", "must be one of ['x']"),
        ({"properties": {"d": {"format": "date"}}}, {"d": "secret"}, "d", "must be a date"),
        ({"properties": {"d": {"format": "uuid"}}}, {"d": "secret"}, "d", "must be a uuid"),
        ({"maxLength": 2}, "secret", "the whole", "does not satisfy maxLength: 2"),
        ({"required": ["a"]}, {}, "the whole", "'a' is a required property"),
        (ONE_OF, {}, "the whole", "give exactly one of: a, b"),
        (ONE_OF, {"a": "secret", "b": "secret"}, "the whole", "give exactly one of: a, b"),
        ({"oneOf": [{"const": 1}]}, "secret", "the whole", "does not satisfy oneOf: [{'const': 1}]"),
    ],
)
def test_a_fault_says_what_is_wrong_where(schema: Any, value: Any, place: str, message: str) -> None:
    """In words that do not quote the value."""
    (fault,) = faults_of(schema, value)
    assert (fault.place, fault.message) == (place, message)


def test_what_satisfies_its_schema_has_no_faults() -> None:
    """Exactly one of the two, say."""
    assert faults_of(ONE_OF, {"a": "x"}) == []


def test_faults_are_in_the_order_of_their_places_and_not_without_end() -> None:
    """Names beside numbers too."""
    schema = {"properties": {"b": {"items": {"type": "string"}}, "a": {"type": "string"}}}
    faults = faults_of(schema, {"b": [1, 2], "a": 1})
    assert [fault.place for fault in faults] == ["a", "b/0", "b/1"]
    assert len(faults_of({"items": {"type": "string"}}, [1] * 100)) == MAX_FAULTS
