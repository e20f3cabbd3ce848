"""What operators do to many workflows at once, and the record of who did what."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from apps.tenants.models import ApiKey, User
from apps.workflows.letters import OperatorAction
from apps.workflows.models import Workflow
from apps.workflows.services import (
    AlreadyFinished,
    NotPaused,
    workflow_cancel,
    workflow_pause,
    workflow_resume,
)

MAX_WORKFLOWS = 500
"""How many workflows one operation changes; asked again, it goes on with the rest."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a person, or an application with an operator's key."""

    user: User | None = None
    api_key: ApiKey | None = None

    def __str__(self) -> str:
        return f"user {self.user}" if self.user is not None else f"key {self.api_key}"


def action_record(
    actor: Actor, name: str, details: Mapping[str, Any], *, affected: int = 0
) -> OperatorAction:
    """Writes down that `actor` does `name`; `details` say to what and how."""
    return OperatorAction.objects.create(
        name=name,
        user=actor.user,
        api_key=actor.api_key,
        actor=str(actor)[:250],
        affected=affected,
        details=dict(details),
    )


def action_end(action: OperatorAction, *, affected: int, outcome: Mapping[str, Any]) -> None:
    """Writes down what came of it."""
    action.affected = affected
    action.details = {**action.details, **outcome}
    action.save(update_fields=["affected", "details"])
    logger.info("operation %s: %s changed %d", action.pk, action.name, affected)


def _cancel(workflow_id: uuid.UUID) -> bool:
    workflow_cancel(workflow_id)
    return True


@dataclass(frozen=True, slots=True)
class Verb:
    """What can be done to a workflow, and in which statuses there is something to do."""

    change: Callable[[uuid.UUID], bool]
    statuses: tuple[str, ...]


VERBS: Mapping[str, Verb] = {
    "cancel": Verb(_cancel, ("running", "paused", "held")),
    "pause": Verb(workflow_pause, ("running", "held")),
    "resume": Verb(workflow_resume, ("paused",)),
}


@dataclass(frozen=True, slots=True)
class BulkReport:
    """What came of an operation: how many workflows it was for, and how many it changed."""

    matched: int
    changed: int
    has_more: bool
    operation_id: uuid.UUID | None


def workflows_change(
    actor: Actor,
    verb: str,
    chosen: QuerySet[Workflow],
    *,
    asked: Mapping[str, Any],
    dry_run: bool = False,
) -> BulkReport:
    """Does `verb` to those of the chosen workflows that are in a status for it, the oldest first.

    At most MAX_WORKFLOWS; `has_more` says whether there are others. Each is changed in a transaction of its own, so
    what was done stays done if something fails half-way, and asking again does the rest. `asked` is recorded.
    """
    found = chosen.filter(status__in=VERBS[verb].statuses, finished_at=None).order_by("pk")
    ids = list(found.values_list("pk", flat=True)[: MAX_WORKFLOWS + 1])
    has_more, ids = len(ids) > MAX_WORKFLOWS, ids[:MAX_WORKFLOWS]
    if dry_run:
        return BulkReport(len(ids), 0, has_more, None)
    action = action_record(actor, f"workflows.{verb}", {"asked": asked})
    changed = [workflow_id for workflow_id in ids if workflow_change(verb, workflow_id)]
    outcome = {"workflows": [str(workflow_id) for workflow_id in changed]}
    action_end(action, affected=len(changed), outcome=outcome)
    return BulkReport(len(ids), len(changed), has_more, action.pk)


def workflow_change(verb: str, workflow_id: uuid.UUID) -> bool:
    """Does `verb` to one workflow; whether that changed it, in whatever status it is by now."""
    try:
        return VERBS[verb].change(workflow_id)
    except (AlreadyFinished, NotPaused):
        return False  # it has changed since it was found
