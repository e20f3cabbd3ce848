"""Writes of what is observed of answers by meaning: checks that are begun and decided, complaints, and what is learned."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now

from agentplatform.llm.caching.verifying import DEFAULT_THRESHOLD, FLOOR_THRESHOLD
from agentplatform.llm.caching.watching import WINDOW, Lesson, Observation, learn
from apps.gateway.models import CacheCheck, CacheScope, Call
from apps.notifications.event_types import CACHE_SWITCHED_OFF
from apps.notifications.models import Audience, Severity
from apps.notifications.services import notify
from apps.tenants.models import Tenant

Status, Source = CacheCheck.Status, CacheCheck.Source

TAKEN = 20
"""How many checks are begun at a time."""
LOST_AFTER = timedelta(minutes=1)
"""A check that was taken, and for which no run was started in this time, is taken again."""
OPEN_FOR = timedelta(days=1)
"""A check that nobody had time for by then is given up: what was asked is not kept for longer."""
COMPLAINTS = 100
"""So many calls of a run may be complained of at once."""
DECIDED = (Status.AGREED, Status.DIFFERED)
_FORGOTTEN = {"request": None, "served": None}


@dataclass(frozen=True, slots=True)
class Complaint:
    """A call that a user complains of, and the use case in which it was served."""

    call: Call
    use_case: str


def checks_take() -> list[CacheCheck]:
    """Takes the oldest checks that wait, for this process; of no tenant more than CACHE_CHECKS_AN_HOUR."""
    begun = CacheCheck.objects.filter(asked_at__gt=Now() - timedelta(hours=1)).order_by()
    counts = dict(begun.values_list("tenant").annotate(Count("pk")))
    left = {tenant: settings.CACHE_CHECKS_AN_HOUR - count for tenant, count in counts.items()}
    lost = Q(status=Status.ASKED, check_workflow_id=None, asked_at__lt=Now() - LOST_AFTER)
    waiting = CacheCheck.objects.filter(Q(status=Status.PENDING) | lost, source=Source.SAMPLE)
    waiting = waiting.exclude(tenant__in=[tenant for tenant, room in left.items() if room <= 0])
    with transaction.atomic():
        taken = []
        for check in waiting.order_by("created_at").select_for_update(skip_locked=True)[:TAKEN]:
            room = left.get(check.tenant_id, settings.CACHE_CHECKS_AN_HOUR)
            if room > 0:
                left[check.tenant_id] = room - 1
                taken.append(check)
        ids = [check.pk for check in taken]
        CacheCheck.objects.filter(pk__in=ids).update(status=Status.ASKED, asked_at=Now())
    return taken


def check_started(check_id: uuid.UUID, workflow_id: uuid.UUID) -> None:
    """Writes down which run answers it."""
    CacheCheck.objects.filter(pk=check_id).update(check_workflow_id=workflow_id)


def checks_fail(checks: QuerySet[CacheCheck]) -> int:
    """Gives up those of the checks that are open, and forgets what was asked; returns how many."""
    opened = checks.filter(status__in=[Status.PENDING, Status.ASKED])
    return opened.update(status=Status.FAILED, decided_at=Now(), **_FORGOTTEN)


def checks_give_up_old() -> int:
    """Gives up those that nobody had time for; returns how many."""
    return checks_fail(CacheCheck.objects.filter(status=Status.PENDING, created_at__lt=Now() - OPEN_FOR))


def check_decide(check_id: uuid.UUID, *, agrees: bool) -> bool:
    """Writes down whether the live answer says the same, forgets both, and learns of it; once, however often it is told.

    Where there are surely too many wrong answers, none is given by meaning in that use case any more, and the tenant and
    operators are told. All in one transaction. Returns False for a check that is not open.
    """
    with transaction.atomic():
        opened = CacheCheck.objects.filter(pk=check_id, status__in=[Status.PENDING, Status.ASKED])
        check = opened.select_for_update().first()
        if check is None:
            return False
        status = Status.AGREED if agrees else Status.DIFFERED
        CacheCheck.objects.filter(pk=check_id).update(status=status, decided_at=Now(), **_FORGOTTEN)
        _learn(check.tenant_id, check.use_case)
    return True


def complaints_make(workflow_id: uuid.UUID, complaints: Sequence[Complaint]) -> int:
    """Counts answers by meaning as wrong, since a user says so of the run; returns how many are new."""
    with transaction.atomic():
        new = [complaint for complaint in complaints[:COMPLAINTS] if _complain(workflow_id, complaint)]
        for tenant_id, use_case in sorted({(one.call.tenant_id, one.use_case) for one in new}):
            _learn(tenant_id, use_case)
    return len(new)


def complaints_withdraw(workflow_id: uuid.UUID) -> int:
    """The user thinks otherwise: what was counted as wrong for the run is not; returns how much that was.

    The threshold goes back no further than to where such an answer was served. What is switched off stays so.
    """
    with transaction.atomic():
        mine = CacheCheck.objects.filter(workflow_id=workflow_id, source=Source.FEEDBACK)
        withdrawn = list(mine.select_for_update())
        mine.delete()
        lowest: dict[tuple[uuid.UUID, str], float] = {}
        for check in withdrawn:
            place = (check.tenant_id, check.use_case)
            lowest[place] = min(check.probability, lowest.get(place, 1.0))
        for (tenant_id, use_case), probability in sorted(lowest.items()):
            _learn(tenant_id, use_case, back_to=max(FLOOR_THRESHOLD, probability))
    return len(withdrawn)


def scope_switch_on(scope: CacheScope) -> None:
    """Gives answers by meaning again in a use case; what was seen before counts no more."""
    CacheScope.objects.filter(pk=scope.pk).update(
        is_enabled=True,
        switched_off_at=None,
        switched_off_because="",
        threshold=None,
        checked=0,
        wrong=0,
        observed_since=Now(),
        updated_at=Now(),
    )


def _complain(workflow_id: uuid.UUID, complaint: Complaint) -> bool:
    told = complaint.call.cache or {}
    _, is_new = CacheCheck.objects.get_or_create(
        call_id=complaint.call.pk,
        source=Source.FEEDBACK,
        defaults={
            "tenant_id": complaint.call.tenant_id,
            "use_case": complaint.use_case,
            "workflow_id": workflow_id,
            "entry_id": uuid.UUID(told["entry_id"]),
            "similarity": told["similarity"],
            "probability": told["probability"],
            "status": Status.DIFFERED,
            "decided_at": Now(),
        },
    )
    return is_new


def _learn(tenant_id: uuid.UUID, use_case: str, *, back_to: float | None = None) -> None:
    """Learns from the latest checks of a use case. One at a time: two that learn at once would each know a part."""
    CacheScope.objects.get_or_create(tenant_id=tenant_id, use_case=use_case)
    scope = CacheScope.objects.select_for_update(no_key=True).get(tenant=tenant_id, use_case=use_case)
    current = scope.threshold
    if back_to is not None and current is not None:
        current = min(current, back_to)
    lesson = learn(
        _observations(scope),
        error_bound=scope.error_bound,
        floor=FLOOR_THRESHOLD,
        default=DEFAULT_THRESHOLD,
        current=current,
    )
    scope.threshold = lesson.threshold
    scope.checked, scope.wrong = lesson.estimate.checked, lesson.estimate.wrong
    scope.updated_at = Now()
    switches_off = lesson.is_switched_off and scope.is_enabled and scope.switched_off_at is None
    if switches_off:
        scope.switched_off_at, scope.switched_off_because = Now(), lesson.because[:300]
    scope.save()
    if switches_off:
        checks_fail(CacheCheck.objects.filter(tenant=tenant_id, use_case=use_case))
        _tell(scope, lesson)


def _observations(scope: CacheScope) -> Iterable[Observation]:
    """One of each call: it was wrong if a check or a user says so."""
    decided = CacheCheck.objects.filter(tenant=scope.tenant_id, use_case=scope.use_case, status__in=DECIDED)
    if scope.observed_since is not None:
        decided = decided.filter(decided_at__gt=scope.observed_since)
    seen: dict[uuid.UUID, Observation] = {}
    rows = decided.order_by("-decided_at").values_list("call_id", "probability", "status")
    for call_id, probability, status in rows[:WINDOW]:
        known = seen.get(call_id)
        was_wrong = status == Status.DIFFERED or (known is not None and known.was_wrong)
        seen[call_id] = Observation(probability, was_wrong)
    return seen.values()


def _tell(scope: CacheScope, lesson: Lesson) -> None:
    tenant = Tenant.objects.get(pk=scope.tenant_id)
    estimate = lesson.estimate
    notify(
        code=CACHE_SWITCHED_OFF,
        severity=Severity.WARNING,
        title=f"Answers by meaning are switched off for {scope.use_case} of {tenant.name}",
        message=f"{lesson.because} Every question is answered anew there until an operator switches it on again.",
        audience=Audience.BOTH,
        tenant_id=scope.tenant_id,
        data={
            "use_case": scope.use_case,
            "error_bound": scope.error_bound,
            "threshold": lesson.threshold,
            "checked": estimate.checked,
            "wrong": estimate.wrong,
            "error_rate": round(estimate.rate, 4),
            "error_rate_low": round(estimate.low, 4),
            "error_rate_high": round(estimate.high, 4),
        },
    )
