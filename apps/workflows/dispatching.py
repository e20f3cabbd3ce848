"""What a dispatcher does: admit, hint again, wake what is due, recover lost steps, end what is past its deadline."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from django.db.models.functions import Now

from agentplatform.execution.executor import WORKER_LOST, LeasedStep, Outcome, decide_outcome
from agentplatform.execution.retry import Failure
from agentplatform.workflows.coordinator import DeadlinePassed
from apps.database import call_function, release_connection
from apps.workflows.hints import Hint, send_hints
from apps.workflows.models import Step, Workflow
from apps.workflows.selectors import definition_by_id, queue_config, run_state
from apps.workflows.services import workflow_decide
from apps.workflows.store import finish_attempt

logger = logging.getLogger(__name__)

ADMIT_LIMIT = 100
SWEEP_LIMIT = 500


def admit() -> int:
    """Admits what every queue has room for, in fair order, and sends the hints; returns how many were admitted."""
    hints = _hints(call_function("workflows_admit_all", [ADMIT_LIMIT], ["int"]))
    send_hints(hints)
    return len(hints)


def hint_overdue() -> int:
    """Sends again the hints that nobody answered; returns how many."""
    hints = _hints(call_function("workflows_overdue_hints", [SWEEP_LIMIT], ["int"]))
    send_hints(hints)
    return len(hints)


def wake_due() -> int:
    """Makes ready the waiting steps whose time has come; returns how many."""
    return int(call_function("workflows_wake_due", [SWEEP_LIMIT], ["int"])[0][0])


def mark_lost_lanes() -> None:
    """Finds again the lanes that lost their mark to a race."""
    call_function("workflows_mark_lost_lanes", [], [])


def recover_lost_steps() -> int:
    """Takes steps away from workers whose lease has expired: tried again at once, or given up at their limit."""
    recovered = 0
    for step_id, attempt, _ in call_function("workflows_expired", [SWEEP_LIMIT], ["int"]):
        try:
            step = Step.objects.select_related("workflow").filter(pk=step_id).first()
        finally:
            release_connection()
        if step is not None and step.attempt == attempt and _recover(step):
            recovered += 1
            logger.warning("step %s (%s): the worker of attempt %d was lost", step_id, step.label, attempt)
    return recovered


def end_overdue_workflows() -> int:
    """Ends the runs whose deadline has passed; returns how many."""
    overdue = Workflow.objects.filter(finished_at=None, deadline_at__lt=Now())[:SWEEP_LIMIT]
    try:
        ids = list(overdue.values_list("pk", flat=True))
    finally:
        release_connection()
    return sum(workflow_decide(workflow_id, DeadlinePassed()) for workflow_id in ids)


def _hints(rows: Iterable[Any]) -> list[Hint]:
    return [Hint(*row) for row in rows]


def _recover(step: Step) -> bool:
    definition = definition_by_id(step.workflow.definition_id)
    failure = Failure(
        WORKER_LOST,
        "The worker of this attempt was lost (killed, or cut off); the step is tried again by itself.",
        transient=True,
    )
    while True:
        run = run_state(step.workflow_id)
        if run.state.status.is_terminal:
            return False
        leased = LeasedStep(
            step_id=step.pk,
            attempt=step.attempt,
            node=step.node,
            label=step.label,
            queue=step.queue_id,
            workflow_id=step.workflow_id,
            workflow_seconds_left=run.seconds_left,
            definition=definition,
            policy=queue_config(step.queue_id).retry_policy(step.max_attempts),
            revision=run.revision,
            state=run.state,
        )
        outcome, decision = decide_outcome(leased, run.state, Outcome(failure=failure))
        reply = finish_attempt(
            leased, outcome, decision, (), worker=step.worker or "", may_continue=False, reap=True
        )
        if reply["outcome"] != "conflict":
            return bool(reply["outcome"] == "finished")
