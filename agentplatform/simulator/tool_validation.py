"""Checks of tools, tool choice and JSON schemas."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from agentplatform.simulator.errors import invalid_request
from agentplatform.simulator.models import SimulatedModel
from agentplatform.simulator.request import ToolChoice

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_CHOICES = ("auto", "any", "tool", "none")


def check_schema(schema: object, path: str) -> Mapping[str, Any]:
    """Return a JSON schema of an object; raises a 400 where it isn't one under draft 2020-12."""
    if not isinstance(schema, dict):
        raise invalid_request(f"{path}: Input should be a JSON schema object")
    problem = _schema_problem(orjson.dumps(schema))
    if problem is not None:
        raise invalid_request(
            f"{path}: JSON schema is invalid - it must match JSON Schema draft 2020-12: {problem}"
        )
    return schema


def check_tools(tools: object) -> tuple[Mapping[str, Any], ...]:
    """Return the tools of a request; raises a 400 for a malformed, doubled or server-side tool."""
    if tools is None:
        return ()
    if not isinstance(tools, list):
        raise invalid_request("tools: Input should be a valid list")
    names: set[str] = set()
    for index, tool in enumerate(tools):
        _check_tool(tool, f"tools.{index}")
        if tool["name"] in names:
            raise invalid_request("tools: Tool names must be unique.")
        names.add(tool["name"])
    return tuple(tools)


def check_tool_choice(
    choice: object, tools: Sequence[Mapping[str, Any]], model: SimulatedModel
) -> ToolChoice:
    """Return the tool choice of a request; raises a 400 where it cannot be met."""
    if choice is None:
        return ToolChoice()
    if not isinstance(choice, dict) or choice.get("type") not in _CHOICES:
        raise invalid_request(f"tool_choice.type: Input should be one of {', '.join(_CHOICES)}")
    parsed = ToolChoice(choice["type"], choice.get("name") if choice["type"] == "tool" else None)
    if not tools and parsed.type != "none":
        raise invalid_request("tool_choice: may only be specified while providing tools")
    if parsed.type == "tool" and parsed.name not in {tool["name"] for tool in tools}:
        raise invalid_request(f"tool_choice.name: Tool {parsed.name!r} not found in provided tools")
    if parsed.forces_a_tool and not model.accepts_forced_tool_use:
        raise invalid_request(
            f"tool_choice.type: {parsed.type!r} forces tool use, which {model.id} does not support. Use 'auto'"
            " or 'none'."
        )
    return parsed


def _check_tool(tool: object, path: str) -> None:
    if not isinstance(tool, dict):
        raise invalid_request(f"{path}: Input should be an object")
    if tool.get("type") not in (None, "custom"):
        raise invalid_request(f"{path}.type: the simulator serves custom tools alone, not {tool['type']!r}")
    name = tool.get("name")
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise invalid_request(f"{path}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    if not isinstance(tool.get("description", ""), str):
        raise invalid_request(f"{path}.custom.description: Input should be a valid string")
    if "input_schema" not in tool:
        raise invalid_request(f"{path}.custom.input_schema: Field required")
    schema = check_schema(tool["input_schema"], f"{path}.custom.input_schema")
    if schema.get("type") != "object":
        raise invalid_request(f"{path}.custom.input_schema.type: Input should be 'object'")


@lru_cache(maxsize=256)
def _schema_problem(serialized: bytes) -> str | None:
    try:
        Draft202012Validator.check_schema(orjson.loads(serialized))
    except SchemaError as error:
        return str(error.message)
    except RecursionError:
        return "it is nested too deeply"
    return None
