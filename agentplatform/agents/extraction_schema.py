"""Which JSON Schemas data can be extracted by: what models can be held to, and what is safe to validate with.

Schemas come from tenants. What costs without bound is refused: references that lead outside or around in circles,
schemas that unfold to more than MAX_NODES, regular expressions (which Python cannot interrupt).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from agentplatform.agents.registry import registry
from agentplatform.json_schema import Fault

MAX_SCHEMA_CHARACTERS = 32_000
MAX_DEPTH = 12
MAX_NODES = 1_000

Path = tuple[str | int, ...]

_ANNOTATIONS = frozenset({"$comment", "$schema", "default", "description", "examples", "title"})
_LIMITS = frozenset(
    {
        "const", "enum", "exclusiveMaximum", "exclusiveMinimum", "format", "maxItems", "maxLength", "maximum",
        "minItems", "minLength", "minimum", "multipleOf", "required", "type", "uniqueItems",
    }
)  # fmt: skip
_NESTED = frozenset(
    {"$defs", "$ref", "additionalProperties", "allOf", "anyOf", "items", "oneOf", "properties"}
)
KEYWORDS = _ANNOTATIONS | _LIMITS | _NESTED
_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_SAYS_WHAT = ("type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref")


class _Refused(Exception):
    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(path, message)


@registry.input_check("extraction_schema")
def check_extraction_schema(_tenant_id: uuid.UUID, workflow_input: Mapping[str, Any]) -> Iterator[Fault]:
    """The first fault of `schema` as one to extract by, if it has one."""
    fault = schema_fault(workflow_input["schema"])
    if fault is not None:
        yield Fault(("schema", *fault.path), fault.message)


def schema_fault(schema: Mapping[str, Any]) -> Fault | None:
    """What is wrong with a schema to extract by, at its place inside it; None when it can be used."""
    if len(json.dumps(schema, ensure_ascii=False)) > MAX_SCHEMA_CHARACTERS:
        return Fault(
            (), f"a schema has at most {MAX_SCHEMA_CHARACTERS} characters as JSON; extract less at a time"
        )
    if schema.get("type") != "object":
        return Fault((), 'a schema to extract by has "type": "object" at its top')
    try:
        _Walk(schema).visit(schema, (), 0, ())
        Draft202012Validator.check_schema(dict(schema))
    except _Refused as refused:
        return refused.fault
    except SchemaError as error:
        return Fault(
            tuple(error.absolute_path), f"is not JSON Schema (draft 2020-12): {_without_value(error)}"
        )
    return None


def _without_value(error: SchemaError) -> str:
    return f"it does not satisfy {error.validator}: {error.validator_value}"


class _Walk:
    """Visits every subschema, and what references lead to at each place where they stand."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0

    def visit(self, schema: Any, path: Path, depth: int, references: tuple[str, ...]) -> None:
        self._check_node(schema, path, depth)
        for keyword in ("$defs", "properties"):
            for name, part in _mapping(schema, keyword, path).items():
                self.visit(part, (*path, keyword, name), depth + 1, references)
        for keyword in ("anyOf", "oneOf", "allOf"):
            for index, part in enumerate(_list(schema, keyword, path)):
                self.visit(part, (*path, keyword, index), depth + 1, references)
        if "items" in schema:
            self.visit(schema["items"], (*path, "items"), depth + 1, references)
        if "$ref" in schema:
            self._follow(schema["$ref"], (*path, "$ref"), depth, references)

    def _check_node(self, schema: Any, path: Path, depth: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _Refused(path, f"the schema unfolds to more than {MAX_NODES} parts; extract less at a time")
        if depth > MAX_DEPTH:
            raise _Refused(path, f"a schema is nested at most {MAX_DEPTH} levels deep")
        if not isinstance(schema, Mapping):
            raise _Refused(path, 'must be a JSON object that says what is wanted, such as {"type": "string"}')
        unknown = sorted(set(schema) - KEYWORDS)
        if unknown:
            known = ", ".join(sorted(KEYWORDS))
            raise _Refused(
                (*path, unknown[0]), f"is not supported in a schema to extract by; supported are: {known}"
            )
        if not any(keyword in schema for keyword in _SAYS_WHAT):
            raise _Refused(path, f"says nothing of what is wanted; give one of: {', '.join(_SAYS_WHAT)}")
        self._check_shape(schema, path)

    def _check_shape(self, schema: Mapping[str, Any], path: Path) -> None:
        types = schema.get("type", [])
        wanted = types if isinstance(types, list) else [types]
        if not all(isinstance(name, str) and name in _TYPES for name in wanted):
            raise _Refused((*path, "type"), f"must be one of: {', '.join(_TYPES)}; or a list of them")
        for value in (*_list(schema, "enum", path), schema.get("const")):
            if isinstance(value, list | dict):
                raise _Refused(path, "enum and const are texts, numbers, true, false or null")
        if "object" in wanted and not schema.get("properties"):
            raise _Refused(path, 'an object needs "properties": name those to extract')
        if "array" in wanted and "items" not in schema:
            raise _Refused(path, 'an array needs "items": say what it is a list of')
        if not isinstance(schema.get("additionalProperties", False), bool):
            raise _Refused(
                (*path, "additionalProperties"), "must be true or false: name the properties to extract"
            )
        if not str(schema.get("$schema", "https://json-schema.org/draft/2020-12/")).startswith(
            "https://json-schema.org/draft/2020-12/"
        ):
            raise _Refused((*path, "$schema"), "must be https://json-schema.org/draft/2020-12/schema")

    def _follow(self, reference: Any, path: Path, depth: int, references: tuple[str, ...]) -> None:
        if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
            raise _Refused(path, 'must lead to a definition in the schema itself, such as "#/$defs/address"')
        if reference in references:
            raise _Refused(path, "leads back to itself; unfold the schema to the depth that is wanted")
        name = reference.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
        target = _mapping(self._root, "$defs", ()).get(name)
        if target is None:
            raise _Refused(path, 'leads to a definition that "$defs" at the top does not have')
        try:
            self.visit(target, path, depth + 1, (*references, reference))
        except _Refused as refused:
            # A place inside of what it leads to is no place in the schema.
            raise _Refused(path, str(refused)) from None


def _mapping(schema: Mapping[str, Any], keyword: str, path: Path) -> Mapping[str, Any]:
    value = schema.get(keyword, {})
    if not isinstance(value, Mapping):
        raise _Refused((*path, keyword), "must be a JSON object of schemas by name")
    return value


def _list(schema: Mapping[str, Any], keyword: str, path: Path) -> list[Any]:
    """The list at `keyword`, which if it is there has at least one element."""
    value = schema.get(keyword, [])
    if not isinstance(value, list) or (keyword in schema and not value):
        raise _Refused((*path, keyword), "must be a list with at least one element")
    return value
