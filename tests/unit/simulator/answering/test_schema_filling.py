"""Objects for JSON schemas: always valid, and filled with what the text says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agentplatform.simulator.answering.schema_filling import FillSource, fill_schema
from agentplatform.simulator.errors import ApiError

INVOICE = """Invoice number: A-1742
Date: 12 March 2026
Customer: Northwind Traders
Total due: EUR 1,249.50
Paid: no
Tags: furniture, office and light

Items:
- 3 x Desk lamp, 49.90
- 1 x Standing desk, 1,099.80

Please pay by 2026-04-11. Contact billing@northwind.example for questions."""

ITEM = {
    "type": "object",
    "properties": {
        "quantity": {"type": "integer", "minimum": 1},
        "description": {"type": "string"},
        "price": {"type": "number"},
    },
    "required": ["quantity", "description", "price"],
    "additionalProperties": False,
}


def fill(properties: dict[str, Any], text: str = INVOICE, **extra: Any) -> dict[str, Any]:
    """Fill an object with these required properties."""
    schema = {"type": "object", "properties": properties, "required": list(properties), **extra}
    filled: dict[str, Any] = fill_schema(schema, FillSource(text, "Extract the fields."))
    Draft202012Validator(schema).validate(filled)
    return filled


@pytest.mark.parametrize(
    ("name", "schema", "expected"),
    [
        ("invoice_number", {"type": "string"}, "A-1742"),
        ("customer_name", {"type": "string"}, "Northwind Traders"),
        ("date", {"type": "string", "format": "date"}, "2026-03-12"),
        ("total", {"type": "number"}, 1249.5),
        ("currency", {"enum": ["USD", "EUR"]}, "EUR"),
        ("paid", {"type": "boolean"}, False),
        ("contact", {"type": "string", "format": "email"}, "billing@northwind.example"),
        ("tags", {"type": "array", "items": {"type": "string"}}, ["furniture", "office", "light"]),
        ("kind", {"const": "invoice"}, "invoice"),
        ("reference", {"type": "string", "pattern": r"^[A-Z]-\d{4}$"}, "A-1742"),
        ("customer", {"type": "string", "maxLength": 9}, "Northwind"),
        ("page", {"type": "null"}, None),
    ],
)
def test_a_field_takes_what_the_text_says(name: str, schema: dict[str, Any], expected: object) -> None:
    """By label, by type, by format and by pattern."""
    assert fill({name: schema})[name] == expected


def test_a_list_of_objects_has_one_for_each_item() -> None:
    """Through a reference, too."""
    items = {"type": "array", "items": {"$ref": "#/$defs/item"}}
    filled = fill({"items": items}, **{"$defs": {"item": ITEM}})["items"]
    assert [(item["quantity"], item["price"]) for item in filled] == [(3, 49.9), (1, 1099.8)]
    assert "Desk lamp" in filled[0]["description"]


def test_an_optional_field_is_left_out_where_the_text_says_nothing() -> None:
    """And given where it does."""
    schema = {
        "type": "object",
        "properties": {"customer": {"type": "string"}, "shoe_size": {"type": "integer"}},
    }
    assert fill_schema(schema, FillSource(INVOICE, "")) == {"customer": "Northwind Traders"}


def test_alternatives_and_combinations_are_met() -> None:
    """anyOf, oneOf, allOf and lists of types."""
    filled = fill(
        {
            "note": {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 20}]},
            "amount": {"oneOf": [{"type": "string", "pattern": "^never$"}, {"type": "number"}]},
            "customer": {"allOf": [{"type": "string"}, {"minLength": 3}]},
            "total": {"type": ["null", "number"]},
        }
    )
    assert filled["total"] == 1249.5
    assert filled["customer"] == "Northwind Traders"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^Q{9}$"},
        {"type": "string", "pattern": "("},
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://example.com/schema.json"},
        {"type": "array", "minItems": 10**9, "items": {"type": "integer"}},
        {"type": "string", "minLength": 10**9},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"not": {}},
        {"enum": []},
        {"anyOf": [False]},
    ],
)
def test_a_schema_that_cannot_be_met_is_a_clear_error(schema: dict[str, Any]) -> None:
    """A 400 that says so, neither an invalid answer nor a crash."""
    with pytest.raises(ApiError) as caught:
        fill({"field": schema})
    assert caught.value.status == 400
    assert "The simulator can't" in caught.value.message


def test_a_schema_that_holds_itself_is_filled_without_an_end_only_where_it_must_be() -> None:
    """An optional child ends the tree; a required one cannot."""
    node: dict[str, Any] = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "child": {"$ref": "#"}},
        "required": ["name"],
    }
    assert "child" not in fill_schema(node, FillSource("Name: root", ""))
    with pytest.raises(ApiError):
        fill_schema({**node, "required": ["name", "child"]}, FillSource("Name: root", ""))


LEAVES = st.one_of(
    st.builds(
        lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span},
        st.integers(-50, 50),
        st.integers(0, 9),
    ),
    st.builds(
        lambda low, span: {"type": "string", "minLength": low, "maxLength": low + span},
        st.integers(0, 40),
        st.integers(0, 40),
    ),
    st.sampled_from(
        [{"type": "boolean"}, {"type": "null"}, {"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]
    ),
    st.lists(st.sampled_from(["red", "green", "blue"]), min_size=1, unique=True).map(
        lambda options: {"enum": options}
    ),
    st.sampled_from(["date", "email", "uri", "uuid", "date-time"]).map(
        lambda name: {"type": "string", "format": name}
    ),
)
NAMES = st.sampled_from(["name", "total", "date", "paid", "colour", "items", "summary", "query", "city"])


def objects(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects and lists of schemas."""
    return st.one_of(
        st.dictionaries(NAMES, parts, max_size=4).map(
            lambda given: {
                "type": "object",
                "properties": given,
                "required": sorted(given),
                "additionalProperties": False,
            }
        ),
        st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least},
            parts,
            st.integers(0, 4),
        ),
    )


@given(
    st.recursive(LEAVES, objects, max_leaves=8), st.sampled_from([INVOICE, "", "Is it red?", "a. b. c. 7"])
)
def test_whatever_the_schema_the_value_validates(schema: dict[str, Any], text: str) -> None:
    """Property: schemas of the usual kinds are always met."""
    Draft202012Validator(schema).validate(fill_schema(schema, FillSource(text, "Extract the fields.")))


def test_alternatives_that_hold_the_whole_schema_are_filled_to_an_end() -> None:
    """Deep enough, what ends the structure is preferred."""
    linked: dict[str, Any] = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["name", "next"],
    }
    Draft202012Validator(linked).validate(fill_schema(linked, FillSource("Name: root", "")))
