"""Turns what an application sent into a Submission, or says what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agentplatform.agents.registry import registry
from agentplatform.json_schema import Fault, faults_of
from agentplatform.llm.caching.policy import CacheControl
from agentplatform.workflows import coordinator
from agentplatform.workflows.classification import Unclassifiable, classify
from agentplatform.workflows.definition import INPUT, Definition, FanOutError
from apps.knowledge.session_models import MAX_SESSION_ID_CHARACTERS
from apps.tenants.models import Tenant
from apps.workflows.models import WorkflowDefinition
from apps.workflows.selectors import current_definitions, definition_by_id
from apps.workflows.services import DEFAULT_DEADLINE_SECONDS, Submission

_SESSION_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:@~-]{{0,{MAX_SESSION_ID_CHARACTERS - 1}}}")
SESSION_ID_RULE = (
    f"A session_id has 1 to {MAX_SESSION_ID_CHARACTERS} letters, digits and signs of '._:@~-', and begins with a "
    "letter or digit."
)
DEFAULT_QUEUE = "standard"


class InvalidSubmission(ValueError):
    """What was sent cannot be run. `errors` are (path into the body, what to do about it)."""

    def __init__(self, errors: list[tuple[tuple[str | int, ...], str]]) -> None:
        super().__init__("; ".join(detail for _, detail in errors))
        self.errors = errors


def submission_make(
    *,
    tenant: Tenant,
    type_: str | None,
    workflow_input: Mapping[str, Any],
    queue: str = DEFAULT_QUEUE,
    deadline_seconds: int | None = None,
    max_cost_usd_micros: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    cache_control: CacheControl = CacheControl.UNSAID,
    session_id: str | None = None,
) -> Submission:
    """A submission by `tenant` of the current version of `type_`, or of the type that the input is for.

    Raises InvalidSubmission.
    """
    stored = _definition(type_, workflow_input)
    definition = definition_by_id(stored.pk)
    _check_session(definition, session_id)
    check_input(definition, workflow_input, tenant)
    return Submission(
        definition=stored,
        input=workflow_input,
        queue=queue,
        deadline_seconds=deadline_seconds or definition.deadline_seconds or DEFAULT_DEADLINE_SECONDS[queue],
        max_cost_usd_micros=max_cost_usd_micros,
        metadata=metadata,
        cache_control=cache_control,
        session_id=session_id,
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


def _check_session(definition: Definition, session_id: str | None) -> None:
    use = definition.session
    if session_id is None:
        if use is not None and use.is_required:
            message = f"'{definition.type}' is a part of a conversation: name it, by an id of your own."
            raise InvalidSubmission([(("session_id",), message)])
        return
    if use is None:
        able = [stored.type for stored in current_definitions() if definition_by_id(stored.pk).session]
        known = ", ".join(sorted(able)) or "none"
        message = f"'{definition.type}' keeps no turns; definitions that take a session_id: {known}."
        raise InvalidSubmission([(("session_id",), message)])
    if _SESSION_ID.fullmatch(session_id) is None:
        raise InvalidSubmission([(("session_id",), SESSION_ID_RULE)])


def check_input(definition: Definition, workflow_input: Mapping[str, Any], tenant: Tenant) -> None:
    """By its schema, then by its fan-outs, then by the checks that the definition names: the later trust the earlier.

    Raises InvalidSubmission.
    """
    _refuse(faults_of(definition.input_schema, workflow_input))
    try:
        coordinator.plan(definition, workflow_input)
    except FanOutError as error:
        _refuse([Fault(error.path, str(error))])
    for name in definition.input_checks:
        check = registry.find_input_check(name)
        if check is None:
            message = f"'{definition.type}' cannot be run: no installed app has its check of inputs '{name}'."
            raise InvalidSubmission([(("type",), message)])
        _refuse(list(check(tenant.pk, workflow_input)))


def _refuse(faults: Sequence[Fault]) -> None:
    if faults:
        raise InvalidSubmission([((INPUT, *fault.path), fault.message) for fault in faults])
