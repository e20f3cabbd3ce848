"""Turns what an application sent into a Submission, or says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from agentplatform.workflows import coordinator
from agentplatform.workflows.classification import Unclassifiable, classify
from agentplatform.workflows.definition import Definition, DefinitionError
from apps.workflows.models import WorkflowDefinition
from apps.workflows.selectors import current_definitions, definition_by_id
from apps.workflows.services import DEFAULT_DEADLINE_SECONDS, Submission

DEFAULT_QUEUE = "standard"


class InvalidSubmission(ValueError):
    """What was sent cannot be run. `errors` are (path into the body, what to do about it)."""

    def __init__(self, errors: list[tuple[tuple[str | int, ...], str]]) -> None:
        super().__init__("; ".join(detail for _, detail in errors))
        self.errors = errors


def submission_make(
    *,
    type_: str | None,
    workflow_input: Mapping[str, Any],
    queue: str = DEFAULT_QUEUE,
    deadline_seconds: int | None = None,
    max_cost_usd_micros: int | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Submission:
    """A submission of the current version of `type_`, or of the type that the input is for.

    Raises InvalidSubmission.
    """
    stored = _definition(type_, workflow_input)
    definition = definition_by_id(stored.pk)
    _check_input(definition, workflow_input)
    return Submission(
        definition=stored,
        input=workflow_input,
        queue=queue,
        deadline_seconds=deadline_seconds or DEFAULT_DEADLINE_SECONDS[queue],
        max_cost_usd_micros=max_cost_usd_micros,
        metadata=metadata,
    )


def _definition(type_: str | None, workflow_input: Mapping[str, Any]) -> WorkflowDefinition:
    stored = {definition.type: definition for definition in current_definitions()}
    if type_ is None:
        try:
            chosen = classify(
                [definition_by_id(definition.pk) for definition in stored.values()], workflow_input
            )
        except Unclassifiable as error:
            raise InvalidSubmission([(("type",), str(error))]) from error
        return stored[chosen.type]
    if type_ not in stored:
        known = ", ".join(sorted(stored))
        raise InvalidSubmission([(("type",), f"There is no definition '{type_}'; known are: {known}.")])
    return stored[type_]


def _check_input(definition: Definition, workflow_input: Mapping[str, Any]) -> None:
    validator = Draft202012Validator(dict(definition.input_schema))
    errors = sorted(validator.iter_errors(workflow_input), key=lambda error: list(error.absolute_path))
    if errors:
        raise InvalidSubmission([(("input", *error.absolute_path), _explain(error)) for error in errors[:20]])
    try:
        coordinator.plan(definition, workflow_input)
    except DefinitionError as error:
        raise InvalidSubmission([(("input",), str(error))]) from error


def _explain(error: ValidationError) -> str:
    """The schema's complaint without the value: an input may be long, and is nobody's to repeat."""
    match error.validator:
        case "required" | "additionalProperties":
            return str(error.message)
        case "type":
            return f"must be of type {error.validator_value}"
        case "enum":
            return f"must be one of {error.validator_value}"
        case _:
            return f"does not satisfy {error.validator}: {error.validator_value}"
