"""Expressions in definitions: what they speak of, what they find, and what is no expression."""

from __future__ import annotations

from typing import Any

import pytest

from agentplatform.workflows.expressions import ExpressionError, evaluate, holds, names_in


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("classify.kind == 'how_to'", {"classify"}),
        ("a.b && !c", {"a", "c"}),
        ("a[?b > `1`].c", {"a"}),
        ("length(a.items) > length(b)", {"a", "b"}),
        ("max_by(a, &score).score", {"a"}),
        ("{x: a, y: b.c}", {"a", "b"}),
        ("[a, b[0].c]", {"a", "b"}),
        ("a | b", {"a"}),
        ("a.*.b[]", {"a"}),
        ("`true`", set()),
        ("@", set()),
    ],
)
def test_the_names_of_an_expression_are_those_it_looks_up_in_the_document(
    expression: str, names: set[str]
) -> None:
    """Not those that it looks up in what it has found."""
    assert names_in(expression) == names


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a == `1`", True),
        ("a > `1`", False),
        ("missing > `1`", False),
        ("missing", False),
        ("zero", True),
        ("empty", False),
        ("text", False),
        ("a == `1` || missing", True),
    ],
)
def test_an_expression_holds_as_in_jmespath(expression: str, expected: bool) -> None:
    """A number is true, whichever; nothing, and what is empty, is not."""
    assert holds(expression, {"a": 1, "zero": 0, "empty": [], "text": ""}) is expected


@pytest.mark.parametrize("wrong", ["", "a ==", "a[", "(", "x" * 501])
def test_what_is_no_expression_is_refused(wrong: str) -> None:
    """When it is checked, not when it is needed."""
    with pytest.raises(ExpressionError):
        names_in(wrong)


def test_what_cannot_be_computed_quotes_no_value() -> None:
    """Values may be anything that a tenant has sent."""
    document: dict[str, Any] = {"a": "a secret"}
    with pytest.raises(ExpressionError) as caught:
        evaluate("abs(a)", document)
    assert "secret" not in str(caught.value)
    assert "abs(a)" in str(caught.value)
