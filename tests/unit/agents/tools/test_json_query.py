"""JMESPath over JSON, within bounds."""

from __future__ import annotations

import time
import uuid

import pytest

from agentplatform.agents.tools.json_query import JsonQuery, query
from agentplatform.agents.tools.tool import ToolContext, ToolError
from agentplatform.execution.deadlines import Deadline

ORDERS = {"orders": [{"id": 1, "total": 50}, {"id": 2, "total": 150}]}


def context() -> ToolContext:
    """A call in a step that has this input, and one step before it."""
    material = {"input": ORDERS, "steps": {"plan": {"queries": ("a", "b")}}}
    return ToolContext(uuid.UUID(int=1), "key", Deadline.after(5), JsonQuery.spec, material)


def test_a_query_finds_what_fits() -> None:
    """As JMESPath has it."""
    assert query("orders[?total > `100`].id", ORDERS) == [2]
    assert query("sum(orders[].total)", ORDERS) == 200
    assert query("nothing.here", ORDERS) is None


def test_without_a_document_it_queries_what_the_workflow_has() -> None:
    """Input and outputs of earlier steps, by reference and not by copy."""
    assert JsonQuery().run({"expression": "steps.plan.queries[1]"}, context()).content == {"found": "b"}
    assert JsonQuery().run({"expression": "input.orders[0].id"}, context()).content == {"found": 1}


def test_a_document_is_queried_in_their_place() -> None:
    """It comes as text; what is no JSON is refused."""
    assert JsonQuery().run({"expression": "a", "document": '{"a": 3}'}, context()).content == {"found": 3}
    with pytest.raises(ToolError, match="no JSON"):
        JsonQuery().run({"expression": "a", "document": "{"}, context())


@pytest.mark.parametrize("expression", ["orders[", "?", "sum(orders)", "unknown(@)", "to_number(", "(" * 400])
def test_a_wrong_query_is_said(expression: str) -> None:
    """As a fault of the input."""
    with pytest.raises(ToolError) as refused:
        query(expression, ORDERS)
    assert refused.value.code == "invalid_query"


@pytest.mark.parametrize(
    "expression",
    [
        "|".join(["[@, @][]"] * 100),
        "|".join(["[@, @]"] * 120),
        "|".join(["[@, @]"] * 60) + "|to_string(@)",
        "|".join(["join('', [@, @])"] * 50),
    ],
)
def test_a_query_that_doubles_what_it_makes_is_cut_off(expression: str) -> None:
    """In well under a second, whatever it would come to."""
    began = time.monotonic()
    with pytest.raises(ToolError, match="make it simpler"):
        query(expression, "abc")
    assert time.monotonic() - began < 2
