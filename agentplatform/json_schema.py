"""What is wrong with a value by its JSON Schema, said without the value: it may be long, and is nobody's to repeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

MAX_FAULTS = 20
FORMATS = FormatChecker(formats=("date", "email", "ipv4", "ipv6", "uuid"))
"""The formats that are checked: those that no more than the standard library is needed for."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at one place of a document; `path` leads there, `keyword` is the schema's that it offends."""

    path: tuple[str | int, ...]
    message: str
    keyword: str = ""

    @property
    def place(self) -> str:
        """The path in words."""
        return "/".join(str(part) for part in self.path) or "the whole"


def faults_of(schema: Mapping[str, Any], value: Any) -> list[Fault]:
    """Where `value` does not satisfy the schema (draft 2020-12), the first MAX_FAULTS in the order of their paths."""
    validator = Draft202012Validator(dict(schema), format_checker=FORMATS)
    errors = sorted(
        validator.iter_errors(value), key=lambda error: [str(part) for part in error.absolute_path]
    )
    return [
        Fault(tuple(error.absolute_path), _explain(error), str(error.validator))
        for error in errors[:MAX_FAULTS]
    ]


def _explain(error: ValidationError) -> str:
    match error.validator:
        case "required" | "additionalProperties":
            return str(error.message)
        case "type":
            return f"must be of type {error.validator_value}"
        case "enum":
            return f"must be one of {error.validator_value}"
        case "format":
            return f"must be a {error.validator_value}"
        case "oneOf" if names := _alternatives(error.validator_value):
            return f"give exactly one of: {', '.join(names)}"
        case _:
            return f"does not satisfy {error.validator}: {error.validator_value}"


def _alternatives(options: Any) -> list[str]:
    """The properties of which a oneOf asks for exactly one; empty for a oneOf of another kind."""
    names = [option["required"][0] for option in options if list(option) == ["required"]]
    return names if len(names) == len(options) else []
