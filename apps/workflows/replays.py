"""Runs made anew: a replay from a step on, or a fork with a changed input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from agentplatform.identifiers import uuid7
from agentplatform.workflows.decisions import IllegalEvent
from agentplatform.workflows.definition import AddedSteps
from agentplatform.workflows.replaying import plan_replay
from apps.database import call_function, to_jsonb
from apps.tenants.models import ApiKey
from apps.workflows.encoding import decision_to_json
from apps.workflows.models import Workflow
from apps.workflows.selectors import definition_by_id, queue_config, run_state
from apps.workflows.services import (
    DEFAULT_DEADLINE_SECONDS,
    IDEMPOTENCY_HOURS,
    KEY_REUSED,
    IdempotencyConflict,
    StartedWorkflow,
    hash_of,
    session_join,
)
from apps.workflows.submissions import check_input
from apps.workflows.wake import wake


class UnknownStep(ValueError):
    """The run has no step of that name."""


class CannotReplay(ValueError):
    """The run has not got what the step needs."""


def workflow_replay(
    workflow: Workflow,
    *,
    from_step: str | None = None,
    workflow_input: Mapping[str, Any] | None = None,
    api_key: ApiKey | None = None,
    idempotency_key: str | None = None,
) -> StartedWorkflow:
    """Starts a run of the same version of the definition that keeps the outputs of what comes before `from_step`.

    With `workflow_input` it is a fork: what runs, runs on that. What the steps before have cost is not paid again.
    With an idempotency key that was used within 24 hours the first run is returned. Raises UnknownStep,
    CannotReplay, InvalidSubmission and IdempotencyConflict.
    """
    told = workflow.input if workflow_input is None else workflow_input
    # Of a run whose session was forgotten there is no input to go on from.
    if workflow_input is not None or not told:
        check_input(definition_by_id(workflow.definition_id), told, workflow.tenant)
    run = run_state(workflow.pk)
    if from_step is not None and all(spec.key != from_step for spec in run.definition.steps):
        known = ", ".join(spec.key for spec in run.definition.steps)
        raise UnknownStep(f"there is no step '{from_step}'; its steps are: {known}")
    try:
        replay = plan_replay(run.definition, run.state, told, from_step)
        # What a step has added stays with its output; where that is made anew, so is what it adds.
        added = [addition for addition in workflow.added_steps if addition["by"] in replay.kept]
        definition = definition_by_id(workflow.definition_id).extended(map(AddedSteps.from_json, added))
        replay = plan_replay(definition, run.state, told, from_step)
    except IllegalEvent as error:
        raise CannotReplay(str(error)) from error
    document = {
        "id": uuid7(),
        "tenant_id": workflow.tenant_id,
        "definition_id": workflow.definition_id,
        "api_key_id": api_key.pk if api_key is not None else None,
        "queue": workflow.queue_id,
        "input": told,
        "metadata": workflow.metadata,
        "max_cost_usd_micros": workflow.max_cost_usd_micros,
        "deadline_seconds": definition.deadline_seconds or DEFAULT_DEADLINE_SECONDS[workflow.queue_id],
        "cache_control": workflow.cache_control,
        "added_steps": added,
    }
    asked = {"source": str(workflow.pk), "from_step": from_step, "input": workflow_input}
    arguments = [
        to_jsonb(document),
        to_jsonb(decision_to_json(definition, replay.decision, queue_config(workflow.queue_id))),
        workflow.pk,
        list(replay.kept),
        idempotency_key,
        hash_of(asked) if idempotency_key is not None else "",
        IDEMPOTENCY_HOURS,
    ]
    casts = ["jsonb", "jsonb", "uuid", "text[]", "text", "text", "int"]
    with transaction.atomic():
        ((started_id, is_new, is_same),) = call_function("workflows_replay", arguments, casts)
        if is_new and workflow.session_id is not None:
            session_join(started_id, workflow.session_id)
    if not is_same:
        raise IdempotencyConflict(KEY_REUSED)
    if is_new:
        wake.dispatcher()
    return StartedWorkflow(started_id, is_new)
