"""A tenant has data extracted by a JSON Schema, over REST, on real processes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.product import Product, broken_invariants

INVOICE = (
    "Invoice number: A-1042. Due date: 1 December 2026. Total: 129.50 EUR. Customer: Acme Ltd.\n\n"
    "Lines:\n\n- Item: bolts, quantity: 40\n- Item: nuts, quantity: 25\n"
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "invoice_number": {"type": "string"},
        "due_date": {"type": "string", "format": "date"},
        "total": {"type": "number", "minimum": 0},
        "currency": {"enum": ["EUR", "USD"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
    },
    "required": ["invoice_number", "due_date", "total", "currency", "lines"],
    "additionalProperties": False,
    "$defs": {
        "line": {
            "type": "object",
            "properties": {"item": {"type": "string"}, "quantity": {"type": ["integer", "null"]}},
            "required": ["item", "quantity"],
        }
    },
}
FOUND = {
    "invoice_number": "A-1042",
    "due_date": "2026-12-01",
    "total": 129.5,
    "currency": "EUR",
    "lines": [{"item": "bolts", "quantity": 40}, {"item": "nuts", "quantity": 25}],
}


def test_data_are_extracted_from_a_text(product: Product) -> None:
    """Without a type: only this definition takes a schema."""
    workflow = product.finished(product.submit(None, {"text": INVOICE, "schema": SCHEMA}))
    assert (workflow["type"], workflow["status"]) == ("extract_data", "succeeded"), workflow
    assert workflow["result"] == {"data": FOUND, "repaired": False}
    assert product.calls()["by_model"] == {"claude-sonnet-5-5": 1}
    assert broken_invariants(product) == {}


def test_data_are_extracted_from_a_document(product: Product) -> None:
    """Named by its id."""
    document_id = product.add_document("Invoice", INVOICE)
    workflow_id = product.submit("extract_data", {"document_id": document_id, "schema": SCHEMA})
    assert product.finished(workflow_id)["result"]["data"] == FOUND


def test_data_that_never_satisfy_the_schema_end_the_run_after_one_repair(product: Product) -> None:
    """Two calls, both paid for, no retry; the error says what does not fit, and quotes nothing."""
    schema = {
        "type": "object",
        "properties": {"total": {"type": "number", "minimum": 500}},
        "required": ["total"],
    }
    workflow = product.finished(product.submit("extract_data", {"text": INVOICE, "schema": schema}))
    assert (workflow["status"], workflow["error"]["code"]) == ("failed", "extraction_invalid")
    assert "total does not satisfy minimum: 500" in workflow["error"]["message"]
    assert "129" not in workflow["error"]["message"]
    assert product.calls()["total"] == 2
    assert [step["attempts"] for step in workflow["steps"]] == [1, 1]
    assert workflow["cost_usd_micros"] > 0
    assert broken_invariants(product) == {}


@pytest.mark.parametrize(
    ("changes", "pointer", "told"),
    [
        (
            {"schema": {"type": "object", "properties": {"a": {"$ref": "https://example.com/s"}}}},
            "/input/schema/properties/a/$ref",
            "in the schema itself",
        ),
        (
            {"schema": {"type": "object", "properties": {"a": {"type": "text"}}}},
            "/input/schema/properties/a/type",
            "must be one of",
        ),
        (
            {"schema": {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}},
            "/input/schema/properties/a/pattern",
            "not supported",
        ),
        ({"schema": {"type": "string"}}, "/input/schema", '"type": "object"'),
        ({"schema": "none"}, "/input/schema", "must be of type object"),
        ({"text": "x" * 100_001}, "/input/text", "maxLength: 100000"),
    ],
)
def test_what_cannot_be_extracted_is_refused_at_its_place(
    product: Product, changes: dict[str, Any], pointer: str, told: str
) -> None:
    """With 422, and nothing is stored."""
    body = {"type": "extract_data", "input": {"text": INVOICE, "schema": SCHEMA, **changes}}
    error = product.refusal(body)
    assert error["pointer"] == pointer
    assert told in error["detail"]


def test_a_document_too_long_for_one_call_is_refused(product: Product) -> None:
    """At its place, with what to do."""
    document_id = product.add_document("Long", "word " * 20_001)
    body = {"type": "extract_data", "input": {"document_id": document_id, "schema": SCHEMA}}
    error = product.refusal(body)
    assert error["pointer"] == "/input/document_id"
    assert "at most 100000" in error["detail"]
