"""Runs that steps start: of their own tenant, within the time and the money of the run that was submitted."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from agentplatform.agents.agent import StepContext, StepError, SubRun
from agentplatform.identifiers import uuid7
from agentplatform.workflows import coordinator
from agentplatform.workflows.statuses import WorkflowStatus
from apps.database import call_function, from_jsonb, release_connection, to_jsonb
from apps.tenants.models import Tenant
from apps.workflows.encoding import decision_to_json
from apps.workflows.selectors import definition_by_id, queue_config
from apps.workflows.services import session_join
from apps.workflows.submissions import InvalidSubmission, submission_make
from apps.workflows.wake import wake

MAX_DEPTH = 5
"""How deep runs may be nested."""


class DatabaseStepRuns:
    """Starts runs for steps, and looks how they stand."""

    def latest(self, step: StepContext) -> SubRun | None:
        rows = call_function("workflows_sub_run", [step.step_id], ["uuid"])
        if not rows:
            return None
        ((workflow_id, status, result, error, reported),) = rows
        return SubRun(
            workflow_id, WorkflowStatus(status), from_jsonb(result), from_jsonb(error), bool(reported)
        )

    def start(self, step: StepContext, type_: str, workflow_input: Mapping[str, Any]) -> uuid.UUID:
        try:
            submission = submission_make(
                tenant=Tenant.objects.get(pk=step.tenant_id),
                type_=type_,
                workflow_input=workflow_input,
                queue=step.call.queue,
                deadline_seconds=max(1, int(step.workflow_seconds_left)),
            )
        except InvalidSubmission as error:
            # What the input holds is the tenant's; only where it is wrong is told.
            places = ", ".join(sorted({"/".join(map(str, path)) for path, _ in error.errors}))
            message = f"Workflow '{type_}' does not take this input; see {places} of what its step is given."
            raise StepError("sub_workflow_refused", message) from None
        finally:
            release_connection()
        definition = definition_by_id(submission.definition.pk)
        _, decision = coordinator.plan(definition, workflow_input)
        document = {
            "id": uuid7(),
            "tenant_id": step.tenant_id,
            "definition_id": submission.definition.pk,
            "queue": submission.queue,
            "input": workflow_input,
            "metadata": {},
            "deadline_seconds": submission.deadline_seconds,
            "max_depth": MAX_DEPTH,
            "attempt": step.attempt,
        }
        planned = decision_to_json(definition, decision, queue_config(submission.queue))
        arguments = [to_jsonb(document), to_jsonb(planned), step.step_id]
        with transaction.atomic():
            ((workflow_id,),) = call_function("workflows_spawn", arguments, ["jsonb", "jsonb", "uuid"])
            if workflow_id is not None and step.session_id is not None:
                session_join(uuid.UUID(str(workflow_id)), step.session_id)
        if workflow_id is None:
            raise StepError(
                "sub_workflow_too_deep",
                f"Workflows may be nested {MAX_DEPTH} deep, in a run that has not ended; call this one from higher up.",
            )
        wake.dispatcher()
        return uuid.UUID(str(workflow_id))
