"""Expressions over JSON in definitions: JMESPath, checked when a definition is loaded.

A condition such as "classify.kind == 'how_to'" is read from the outputs of earlier steps; a number stands in backquotes,
as in "review.score >= `8`".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

MAX_CHARACTERS = 500


class ExpressionError(ValueError):
    """The expression is none, or cannot be computed; the message says why."""


@lru_cache(maxsize=2048)
def _compiled(expression: str) -> ParsedResult:
    if not 1 <= len(expression) <= MAX_CHARACTERS:
        raise ExpressionError(f"an expression has 1 to {MAX_CHARACTERS} characters")
    try:
        return jmespath.compile(expression)
    except JMESPathError as error:
        raise ExpressionError(" ".join(str(error).split())) from error


def check(expression: str) -> None:
    """Raises ExpressionError unless it is an expression."""
    _compiled(expression)


def names_in(expression: str) -> frozenset[str]:
    """The names that it looks up in the document itself, as "classify" in "classify.kind". Raises ExpressionError."""
    return frozenset(_names(_compiled(expression).parsed))


_RELATIVE: Mapping[str, int] = {
    "subexpression": 1,
    "index_expression": 1,
    "projection": 1,
    "value_projection": 1,
    "filter_projection": 1,
    "pipe": 1,
}
"""Kinds of nodes of which only so many children look at the document; the others look at what those have found."""


def _names(node: Mapping[str, Any]) -> set[str]:
    if node["type"] == "field":
        return {node["value"]}
    if node["type"] in ("literal", "expref"):
        return set()
    children = node.get("children", [])
    return set().union(*(_names(child) for child in children[: _RELATIVE.get(node["type"])]), set())


def evaluate(expression: str, document: Mapping[str, Any]) -> Any:
    """What it finds in `document`; None where there is nothing. Raises ExpressionError, which quotes no value."""
    try:
        return _compiled(expression).search(document)
    except JMESPathError as error:
        raise ExpressionError(
            f"'{expression}' cannot be computed ({type(error).__name__}): its values are not of the kinds that it takes"
        ) from None


def holds(expression: str, document: Mapping[str, Any]) -> bool:
    """Whether it finds something that is true in JMESPath: not false, null, nor an empty text, list or object.

    Raises ExpressionError.
    """
    found = evaluate(expression, document)
    return found is not None and found is not False and found not in ("", [], {})
