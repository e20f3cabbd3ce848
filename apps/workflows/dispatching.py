"""What a dispatcher does: admit, hint again, wake what is due, recover lost steps, end what is past its deadline."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from agentplatform.execution.attempts import LeasedStep, Outcome
from agentplatform.execution.outcomes import decide_outcome
from agentplatform.execution.retry import WORKER_LOST, Failure
from agentplatform.workflows.decisions import DeadlinePassed
from agentplatform.workflows.statuses import WorkflowStatus
from apps.database import call_function, release_connection
from apps.workflows.encoding import STEP_TIMEOUT
from apps.workflows.hints import Hint, send_hints
from apps.workflows.models import Step, Workflow
from apps.workflows.selectors import attempts_that_do_not_count, queue_config, run_state
from apps.workflows.services import Decided, workflow_decide, workflow_follow
from apps.workflows.store import finish_attempt

logger = logging.getLogger(__name__)

ADMIT_LIMIT = 100
SWEEP_LIMIT = 500
STEP_TIMEOUT_GRACE_SECONDS = 5.0
"""How long after the end of a step's time its worker may still say itself how it ended."""


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


def wake_batched() -> int:
    """Makes ready the steps whose calls a batch has ended; returns how many."""
    return int(call_function("workflows_wake_batched", [SWEEP_LIMIT], ["int"])[0][0])


def wake_parents() -> int:
    """Makes ready the steps whose run has ended, and cancels the runs whose parent has, and theirs; returns how many."""
    changed, left = 0, SWEEP_LIMIT
    while left > 0:
        ((woken, orphans),) = call_function("workflows_wake_parents", [left], ["int"])
        cancelled = sum(workflow_follow(orphan) for orphan in orphans)
        changed += int(woken) + cancelled
        if not cancelled:
            break
        left -= cancelled
    return changed


def pause_missed() -> int:
    """Pauses the runs that a pause of their parent has not come to, as when its process was killed; returns how many."""
    paused = Workflow.objects.filter(pk=OuterRef("parent_id"), status=WorkflowStatus.PAUSED)
    others = (
        Workflow.objects.filter(finished_at=None)
        .exclude(parent_id=None)
        .exclude(status=WorkflowStatus.PAUSED)
    )
    missed = others.filter(Exists(paused)).values_list("pk", flat=True)
    changed = 0
    while changed < SWEEP_LIMIT:
        try:
            ids = list(missed[: SWEEP_LIMIT - changed])
        finally:
            release_connection()
        found = sum(workflow_follow(run) for run in ids)
        if not found:
            break
        changed += found
    return changed


def wake_held() -> int:
    """Makes ready the held steps that there is budget for again; returns how many."""
    return int(call_function("workflows_wake_held", [SWEEP_LIMIT], ["int"])[0][0])


def sweep_reservations() -> int:
    """Charges calls whose attempt nobody runs any longer at their worst case; returns how many."""
    arguments = [settings.RESERVATION_GRACE_SECONDS, SWEEP_LIMIT]
    swept = call_function("workflows_sweep_reservations", arguments, ["float", "int"])[0][0]
    return int(swept + call_function("workflows_sweep_tool_calls", arguments, ["float", "int"])[0][0])


def mark_lost_lanes() -> None:
    """Finds again the lanes that lost their mark to a race."""
    call_function("workflows_mark_lost_lanes", [], [])


def review_lanes() -> None:
    """Judges anew which lanes are held by limits of their own, and which hold more slots than they should."""
    call_function("workflows_review_lanes", [], [])


def recover_lost_steps() -> int:
    """Takes steps away from workers that have not ended them in time; returns how many.

    Either the lease has expired, and the worker counts as lost; or the step's time was up some while ago, and its
    agent, which cannot be broken off in the middle of its own computing, goes on for nothing.
    """
    recovered = 0
    overdue = call_function(
        "workflows_overdue_attempts", [SWEEP_LIMIT, STEP_TIMEOUT_GRACE_SECONDS], ["int", "float"]
    )
    for step_id, attempt, timed_out in overdue:
        try:
            step = Step.objects.filter(pk=step_id).first()
        finally:
            release_connection()
        failure = _TIMED_OUT if timed_out else _LOST
        if step is not None and step.attempt == attempt and _recover(step, failure):
            recovered += 1
            logger.warning("step %s (%s): %s in attempt %d", step_id, step.label, failure.code, attempt)
    return recovered


def end_overdue_workflows() -> int:
    """Ends the runs whose deadline has passed; returns how many."""
    overdue = Workflow.objects.filter(finished_at=None, deadline_at__lt=Now())[:SWEEP_LIMIT]
    try:
        ids = list(overdue.values_list("pk", flat=True))
    finally:
        release_connection()
    return sum(workflow_decide(workflow_id, DeadlinePassed()) is Decided.CHANGED for workflow_id in ids)


def _hints(rows: Iterable[Any]) -> list[Hint]:
    return [Hint(*row) for row in rows]


_LOST = Failure(
    WORKER_LOST,
    "The worker of this attempt was lost: it was killed, or cut off from the database.",
    transient=True,
)
_TIMED_OUT = Failure(
    STEP_TIMEOUT,
    "The step did not end within its time limit; give it more with timeout_seconds, or less to do.",
    transient=True,
)


def _recover(step: Step, failure: Failure) -> bool:
    lost_before, waits = attempts_that_do_not_count(step)
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
            agent=step.agent,
            attempts_before=step.attempts_before + waits,
            lost_workers=lost_before,
            workflow_id=step.workflow_id,
            workflow_seconds_left=run.seconds_left,
            definition=run.definition,
            policy=queue_config(step.queue_id).retry_policy(step.max_attempts - step.attempts_before),
            revision=run.revision,
            state=run.state,
        )
        outcome, decision = decide_outcome(leased, run.state, Outcome(failure=failure))
        reply = finish_attempt(
            leased, outcome, decision, (), worker=step.worker or "", may_continue=False, reap=True
        )
        if reply["outcome"] != "conflict":
            return bool(reply["outcome"] == "finished")
