"""Statuses of workflows and steps, and the transitions that are legal between them."""

from enum import StrEnum


class WorkflowStatus(StrEnum):
    """Where a submitted run stands."""

    RUNNING = "running"  # has steps that run, wait or are ready
    PAUSED = "paused"  # an operator or the tenant stopped it; nothing new is started
    HELD = "held"  # every unfinished, unblocked step waits for budget
    SUCCEEDED = "succeeded"  # every step succeeded
    PARTIAL = "partial"  # ended with a result in which parts are missing, each named
    FAILED = "failed"  # ended without a result
    CANCELLED = "cancelled"  # ended because somebody asked for it

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL_WORKFLOW


class StepStatus(StrEnum):
    """Where one step of a run stands."""

    BLOCKED = "blocked"  # waits for steps it needs
    READY = "ready"  # may be admitted
    DISPATCHED = "dispatched"  # admitted: a hint is on its way to a worker
    RUNNING = "running"  # claimed by a worker that holds the lease
    WAITING = "waiting"  # waits for something outside; see WaitingFor
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"  # gave up, and the definition says to go on without it
    OMITTED = "omitted"  # not to be run: its condition does not hold, or all that it needs was omitted
    DEAD = "dead"  # gave up, and its workflow with it
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL_STEP


class WaitingFor(StrEnum):
    """What a waiting step waits for."""

    APPROVAL = "approval"
    SIGNAL = "signal"
    TIMER = "timer"
    PROVIDER_BATCH = "provider_batch"
    BUDGET = "budget"
    RATE = "rate"
    RESUME = "resume"  # its workflow is paused
    WORKFLOW = "workflow"  # the workflow that it runs


_TERMINAL_WORKFLOW = frozenset(
    {WorkflowStatus.SUCCEEDED, WorkflowStatus.PARTIAL, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED}
)
_TERMINAL_STEP = frozenset(
    {StepStatus.SUCCEEDED, StepStatus.SKIPPED, StepStatus.OMITTED, StepStatus.DEAD, StepStatus.CANCELLED}
)

_S = StepStatus
STEP_TRANSITIONS: dict[StepStatus, frozenset[StepStatus]] = {
    _S.BLOCKED: frozenset({_S.READY, _S.RUNNING, _S.OMITTED, _S.CANCELLED}),
    _S.READY: frozenset({_S.DISPATCHED, _S.RUNNING, _S.CANCELLED}),
    _S.DISPATCHED: frozenset({_S.RUNNING, _S.READY, _S.CANCELLED}),
    _S.RUNNING: frozenset(
        {_S.SUCCEEDED, _S.READY, _S.WAITING, _S.SKIPPED, _S.OMITTED, _S.DEAD, _S.CANCELLED}
    ),
    _S.WAITING: frozenset({_S.READY, _S.SKIPPED, _S.DEAD, _S.CANCELLED}),
    _S.SUCCEEDED: frozenset(),
    _S.SKIPPED: frozenset(),
    _S.OMITTED: frozenset(),
    _S.DEAD: frozenset(),
    _S.CANCELLED: frozenset(),
}
"""From each step status, the statuses that may follow."""

STEP_REQUEUE_TRANSITIONS: dict[StepStatus, frozenset[StepStatus]] = {
    _S.DEAD: frozenset({_S.READY, _S.WAITING, _S.BLOCKED}),
    _S.SKIPPED: frozenset({_S.READY, _S.WAITING, _S.BLOCKED}),
    _S.CANCELLED: frozenset({_S.READY, _S.BLOCKED}),
    _S.SUCCEEDED: frozenset({_S.BLOCKED}),
    _S.OMITTED: frozenset({_S.BLOCKED}),
}
"""What may follow an ended step when a dead letter of its workflow is requeued, and only then."""

_W = WorkflowStatus
WORKFLOW_TRANSITIONS: dict[WorkflowStatus, frozenset[WorkflowStatus]] = {
    _W.RUNNING: frozenset({_W.PAUSED, _W.HELD, *_TERMINAL_WORKFLOW}),
    _W.PAUSED: frozenset({_W.RUNNING, *_TERMINAL_WORKFLOW}),
    _W.HELD: frozenset({_W.RUNNING, _W.PAUSED, *_TERMINAL_WORKFLOW}),
    _W.SUCCEEDED: frozenset(),
    _W.PARTIAL: frozenset({_W.RUNNING}),  # by a requeue of dead letters
    _W.FAILED: frozenset({_W.RUNNING}),
    _W.CANCELLED: frozenset(),
}
"""From each workflow status, the statuses that may follow."""
