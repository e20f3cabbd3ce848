"""Plans of capacity: asked for, worked out in the background, and kept."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from celery import current_app
from django.db.models import Q
from django.utils import timezone
from kombu.exceptions import KombuError

from agentplatform.budgets.season import full_hour
from agentplatform.capacity.planning import plan
from agentplatform.capacity.question import Question, QuestionError, plan_to_json
from agentplatform.capacity.what_if import WhatIf, WhatIfError, shares_at
from apps.database import release_connection
from apps.insights.capacity_models import CapacityPlan
from apps.insights.capacity_selectors import (
    complexities_between,
    measured_workload,
    platform_now,
    thresholds_now,
    with_targets,
)
from apps.insights.profiling import HOUR

KEPT = timedelta(days=90)
LOST_AFTER = timedelta(minutes=10)
"""A plan that has been worked on for so long has lost its worker: it is begun once more."""

MOST_ATTEMPTS = 2
MOST_WAITING = 10

logger = logging.getLogger(__name__)

_TASK = "maintenance.make_capacity_plans"


class TooManyPlans(Exception):
    """As many plans as may wait to be worked out do."""

    def __init__(self) -> None:
        super().__init__(f"{MOST_WAITING} plans wait to be worked out: ask again when one is ready.")


def capacity_plan_ask(
    question: Question, *, user_id: int | None = None, api_key_id: uuid.UUID | None = None
) -> CapacityPlan:
    """Stores a question, and has it answered in the background. Raises TooManyPlans."""
    waiting = CapacityPlan.objects.filter(status__in=[CapacityPlan.Status.ASKED, CapacityPlan.Status.RUNNING])
    if waiting.count() >= MOST_WAITING:
        raise TooManyPlans
    made = CapacityPlan.objects.create(asked=question.to_json(), asked_by_id=user_id, api_key_id=api_key_id)
    made.refresh_from_db()
    try:
        current_app.send_task(_TASK, queue="maintenance", ignore_result=True, retry=False)
    except (KombuError, OSError) as error:
        logger.warning("the broker takes no hint (%s); the plan is made later", type(error).__name__)
    return made


def capacity_plans_make() -> int:
    """Works out the plans that were asked for, one after the other; returns how many."""
    made = 0
    try:
        CapacityPlan.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
        while (row := _take()) is not None:
            _work_out(row)
            made += 1
    finally:
        release_connection()
    return made


def answer(question: Question, told: Callable[[float], None] = lambda growth: None) -> dict[str, Any]:
    """The plan as a JSON object. Raises WhatIfError, and QuestionError where nothing was measured."""
    until = full_hour(timezone.now()) + HOUR
    since = until - timedelta(days=question.days)
    platform = with_targets(platform_now(), question.target_seconds)
    measured = measured_workload(since, until, platform)
    if not any(task.steps and task.arrivals_a_second for task in measured.tasks):
        raise QuestionError(
            "days", f"No run was measured in the last {question.days} days: nothing can be said."
        )
    what_if = question.what_if
    if question.max_complexity:
        scored, pinned = complexities_between(since, until)
        thresholds = {**thresholds_now(), **question.max_complexity}
        what_if = WhatIf(what_if.mix, what_if.cache_share, shares_at(scored, pinned, thresholds))
    release_connection()
    planned = what_if.apply(measured)
    growths, users = question.growths_from(planned)
    made = plan(planned, platform, growths, users=users, same_tenants=question.same_tenants, told=told)
    return plan_to_json(made, measured, planned)


def _take() -> CapacityPlan | None:
    """A plan to work on, which nobody else takes."""
    now = timezone.now()
    lost = Q(status=CapacityPlan.Status.RUNNING, started_at__lt=now - LOST_AFTER)
    CapacityPlan.objects.filter(lost, attempts__gte=MOST_ATTEMPTS).update(
        status=CapacityPlan.Status.FAILED, error="Its worker was lost, twice.", finished_at=now
    )
    due = CapacityPlan.objects.filter(Q(status=CapacityPlan.Status.ASKED) | lost).order_by("created_at")
    for row in due:
        mine = CapacityPlan.objects.filter(pk=row.pk, status=row.status, attempts=row.attempts).update(
            status=CapacityPlan.Status.RUNNING, started_at=now, attempts=row.attempts + 1
        )
        if mine:
            return row
    return None


def _work_out(row: CapacityPlan) -> None:
    changes: dict[str, Any]
    try:
        changes = {"result": answer(Question.from_json(row.asked)), "status": CapacityPlan.Status.READY}
    except WhatIfError as error:
        changes = {"error": str(error)[:500], "status": CapacityPlan.Status.FAILED}
    except Exception:
        logger.exception("a plan of capacity could not be made")
        changes = {
            "error": "It could not be worked out; the log says why.",
            "status": CapacityPlan.Status.FAILED,
        }
    running = CapacityPlan.objects.filter(
        pk=row.pk, status=CapacityPlan.Status.RUNNING, attempts=row.attempts + 1
    )
    running.update(**changes, finished_at=timezone.now())
