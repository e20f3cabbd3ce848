"""What the tests of dead letters and of requeues share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentplatform.execution.attempts import Outcome
from agentplatform.execution.retry import Failure
from apps.workflows.dead_letters import RequeueOptions, RequeueReport, dead_letters_requeue
from apps.workflows.letters import DeadLetter
from apps.workflows.models import Workflow
from apps.workflows.operations import Actor

Submit = Callable[..., Workflow]
PERMANENT = Outcome(failure=Failure("bad", "It is bad.", transient=False, error_class="builtins.ValueError"))
PASSING = Outcome(failure=Failure("busy", "It is busy.", transient=True))


def requeue(chosen: Any = None, *, dry_run: bool = False, **options: Any) -> RequeueReport:
    """Requeues letters, by default all."""
    letters = chosen if chosen is not None else DeadLetter.objects.all()
    return dead_letters_requeue(Actor(), letters, RequeueOptions(**options), asked={}, dry_run=dry_run)


def statuses(workflow: Workflow) -> dict[str, str]:
    """Its steps by key."""
    return {step.key: step.status for step in workflow.steps.order_by("position", "index")}


def fresh(workflow: Workflow) -> Workflow:
    """As it is now."""
    return Workflow.objects.get(pk=workflow.pk)
