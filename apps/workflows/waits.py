"""Why steps wait and since when: worked out when somebody asks, so that the hot path pays nothing for it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agentplatform.workflows.queueing import QueueWait, why_ready_waits
from agentplatform.workflows.statuses import WaitingFor
from apps.workflows.models import Step, StepAttempt, Workflow
from apps.workflows.selectors import lane_facts

WORKER = "worker"
"""What an admitted step waits for."""

WAIT_CODES = (*(wait.value for wait in WaitingFor), *(wait.value for wait in QueueWait), WORKER)
"""Everything that a step may wait for, in the words of the API."""

_MESSAGES = {
    WaitingFor.TIMER: "Its last attempt failed, and it is tried again after a delay.",
    WaitingFor.RATE: "It waits until the provider or the tenant's rate has room for it.",
    WaitingFor.BUDGET: "It waits for budget.",
    WaitingFor.APPROVAL: "It waits for somebody's approval.",
    WaitingFor.SIGNAL: "It waits for a signal.",
    WaitingFor.WORKFLOW: "It waits for the end of the workflow that it runs.",
    WaitingFor.RESUME: "Its workflow is paused; resume it.",
    WaitingFor.PROVIDER_BATCH: "It waits for a batch at the provider.",
}


@dataclass(frozen=True, slots=True)
class StepWait:
    """What a step waits for, since when, and until when if that is known."""

    code: str
    reason: str
    since: datetime | None
    until: datetime | None = None


def waits_of(workflow: Workflow, steps: Sequence[Step]) -> Mapping[uuid.UUID, StepWait]:
    """The waits of those steps of a run that are ready, dispatched or waiting, by step."""
    if workflow.finished_at is not None:
        return {}
    by_status: dict[str, list[Step]] = {}
    for step in steps:
        by_status.setdefault(step.status, []).append(step)
    waits = {
        step.pk: StepWait(WORKER, "A worker has been told of it and has not begun yet.", step.ready_at)
        for step in by_status.get("dispatched", ())
    }
    waits |= _waits_outside(by_status.get("waiting", ()))
    if by_status.get("ready"):
        reason = why_ready_waits(lane_facts(workflow.queue_id, workflow.tenant_id))
        waits |= {
            step.pk: StepWait(reason.code, reason.message, step.ready_at) for step in by_status["ready"]
        }
    return waits


def _waits_outside(steps: Sequence[Step]) -> dict[uuid.UUID, StepWait]:
    """Steps that wait for something outside do so since the attempt before ended."""
    if not steps:
        return {}
    attempts = StepAttempt.objects.filter(step__in=[step.pk for step in steps])
    latest = attempts.order_by("step_id", "-attempt").distinct("step_id")
    ended = {told[0]: told[1:] for told in latest.values_list("step_id", "finished_at", "outcome")}
    return {step.pk: _wait_outside(step, *ended.get(step.pk, (step.ready_at, ""))) for step in steps}


def _wait_outside(step: Step, since: datetime | None, outcome: str) -> StepWait:
    waiting_for = WaitingFor(step.waiting_for or WaitingFor.TIMER)
    reason = _MESSAGES[waiting_for]
    if waiting_for is WaitingFor.TIMER and outcome == "waited":
        reason = "It waits for the time that it has set itself."
    return StepWait(waiting_for, reason, since, step.run_at)
