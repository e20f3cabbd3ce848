"""JSON Schemas as the Messages API takes them for its structured outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anthropic import transform_schema


def output_format_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema in the subset that the API can hold a model to; what it cannot stands in the descriptions.

    Raises ValueError for a schema with a part that does not say what is wanted.
    """
    return transform_schema(_with_single_types(schema))


def _with_single_types(schema: Any) -> Any:
    """The schema with `anyOf` in place of lists of types, which the SDK's own transformation does not know."""
    if not isinstance(schema, Mapping):
        return schema
    changed = {key: value for key, value in schema.items() if key not in ("properties", "$defs")}
    for keyword in ("properties", "$defs"):
        if keyword in schema:
            changed[keyword] = {name: _with_single_types(part) for name, part in schema[keyword].items()}
    for keyword in ("anyOf", "oneOf", "allOf"):
        if keyword in schema:
            changed[keyword] = [_with_single_types(part) for part in schema[keyword]]
    if "items" in schema:
        changed["items"] = _with_single_types(schema["items"])
    types = changed.get("type")
    if not isinstance(types, list):
        return changed
    if "enum" in changed or "const" in changed or len(types) == 1:
        return {**changed, "type": types[0]}
    about = {key: changed.pop(key) for key in ("$defs", "description", "title") if key in changed}
    return {**about, "anyOf": [_of_type(changed, name) for name in types]}


def _of_type(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One of several types, with the keywords that speak of it."""
    own = _KEYWORDS_OF_TYPE.get(name, ())
    return {"type": name, **{key: schema[key] for key in own if key in schema}}


_NUMBER = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_KEYWORDS_OF_TYPE: Mapping[str, tuple[str, ...]] = {
    "string": ("format", "minLength", "maxLength"),
    "number": _NUMBER,
    "integer": _NUMBER,
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "required", "additionalProperties"),
}
