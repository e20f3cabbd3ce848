"""Which definition a request without a type is for. No model is asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from agentplatform.workflows.definition import Definition

_WORD = re.compile(r"[a-z]{3,}")


class Unclassifiable(ValueError):
    """No definition takes this input; the message says which there are."""


def classify(definitions: Iterable[Definition], workflow_input: Mapping[str, Any]) -> Definition:
    """The definition whose input schema takes the input; among several, the one whose words are nearest.

    Those that must be named are left out. Nearness is the Jaccard index of the words of the input with those of the definition's title, description
    and examples; a tie goes to the more specific schema (more required properties), then by name.
    """
    known = sorted(definitions, key=lambda definition: definition.type)
    fitting = [
        definition
        for definition in known
        if not definition.is_named_only
        and Draft202012Validator(dict(definition.input_schema)).is_valid(workflow_input)
    ]
    if not fitting:
        types = ", ".join(definition.type for definition in known)
        raise Unclassifiable(f"no definition takes this input; name one with 'type': {types}")
    words = _words(workflow_input)
    return max(
        fitting,
        key=lambda definition: (
            _jaccard(words, _definition_words(definition)),
            len(definition.input_schema.get("required", ())),
        ),
    )


def _definition_words(definition: Definition) -> frozenset[str]:
    return _words([definition.title, definition.description, *definition.examples])


def _words(value: Any) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(_WORD.findall(value.lower()))
    if isinstance(value, Mapping):
        return frozenset().union(_words(list(value.keys())), _words(list(value.values())))
    if isinstance(value, list | tuple):
        return frozenset().union(*(_words(item) for item in value))
    return frozenset()


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    union = left | right
    return len(left & right) / len(union) if union else 0.0
