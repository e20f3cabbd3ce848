"""The tool `json_query`: JMESPath over JSON, within bounds of time and memory that a query cannot leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from jmespath.exceptions import JMESPathError
from jmespath.parser import Parser
from jmespath.visitor import Options, TreeInterpreter

from agentplatform.agents.registry import registry
from agentplatform.agents.tools.tool import ToolContext, ToolError, ToolOutput, ToolSpec

MAX_QUERY_CHARACTERS = 1_000
MAX_DOCUMENT_CHARACTERS = 200_000
MAX_WORK = 1_000_000
"""How many nodes of a query and of its values are visited, all together."""


class _Bounded(TreeInterpreter):  # type: ignore[misc]
    """Counts what is visited and what is made: `[@, @] | [@, @] | …` doubles with every three characters."""

    def __init__(self) -> None:
        super().__init__(Options())
        self._left = MAX_WORK

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._spend(1)
        value = super().visit(node, *args, **kwargs)
        if node["type"] in _MAKING:
            self.measure(value)
        return value

    def measure(self, value: Any) -> None:
        """Spends as much as the value would take to be written."""
        waiting = [value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, str):
                self._spend(1 + len(one) // 16)
            elif isinstance(one, dict):
                self._spend(1 + len(one))
                waiting.extend(one.values())
            elif isinstance(one, list):
                self._spend(1 + len(one))
                waiting.extend(one)

    def _spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise ToolError(
                "query_too_large", "The query would take too long, or make too much; make it simpler."
            )


_MAKING = frozenset({"flatten", "multi_select_list", "multi_select_dict", "function_expression"})


def query(expression: str, document: Any) -> Any:
    """What a JMESPath expression finds in a document. Raises ToolError."""
    if len(expression) > MAX_QUERY_CHARACTERS:
        raise ToolError("invalid_query", f"A query has at most {MAX_QUERY_CHARACTERS:,} characters.")
    try:
        parsed = Parser().parse(expression).parsed
    except (JMESPathError, RecursionError, ValueError) as error:
        raise ToolError("invalid_query", "The query is no JMESPath expression; check its syntax.") from error
    interpreter = _Bounded()
    try:
        found = interpreter.visit(parsed, document)
        interpreter.measure(found)
    except (JMESPathError, TypeError, ValueError, RecursionError, ArithmeticError) as error:
        raise ToolError(
            "invalid_query",
            "The query does not fit the document: a function was given values of another type.",
        ) from error
    return found


@registry.tool
class JsonQuery:
    """Output: `{"found": …}`, null where nothing was."""

    spec = ToolSpec(
        name="json_query",
        description=(
            "Queries JSON with a JMESPath expression, such as orders[?total > `100`].id. Without a document it queries "
            'what the workflow has: {"input": …, "steps": {…}}.'
        ),
        input_schema={
            "type": "object",
            "properties": {
                "expression": {
                    "type": "string",
                    "description": "The JMESPath expression.",
                    "minLength": 1,
                    "maxLength": MAX_QUERY_CHARACTERS,
                },
                "document": {
                    "type": "string",
                    "description": "JSON text to query in place of what the workflow has.",
                    "maxLength": MAX_DOCUMENT_CHARACTERS,
                },
            },
            "required": ["expression"],
            "additionalProperties": False,
        },
    )

    def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutput:
        return ToolOutput({"found": query(arguments["expression"], _document(arguments, context))})


def _document(arguments: Mapping[str, Any], context: ToolContext) -> Any:
    if "document" not in arguments:
        # As JSON, which is all that a query knows: no tuples, no other kinds of mapping.
        return orjson.loads(orjson.dumps(context.material, option=orjson.OPT_NON_STR_KEYS))
    try:
        return orjson.loads(arguments["document"])
    except orjson.JSONDecodeError as error:
        raise ToolError("invalid_document", "The document is no JSON.") from error
