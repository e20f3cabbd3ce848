"""Who is told of dead letters: operators of each kind of failure, tenants of their own. By codes and ids alone."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.utils import timezone

from agentplatform.agents.registry import registry
from apps.notifications.event_types import DEAD_LETTER_GROUP_OPENED
from apps.notifications.models import Audience, Severity
from apps.notifications.services import notify
from apps.workflows.letters import DeadLetter, DeadLetterGroup


def operators_tell(fingerprint: str, letters: int, sample: uuid.UUID) -> None:
    """Tells operators of a group that is new or comes again; `sample` is its latest letter."""
    group = DeadLetterGroup.objects.get(pk=fingerprint)
    notify(
        code=DEAD_LETTER_GROUP_OPENED,
        severity=Severity.WARNING,
        title=f"Steps give up: {group}",
        message=f"There are {letters:,} dead letters of this kind so far. Look at them before they are requeued.",
        audience=Audience.OPERATORS,
        data={
            "fingerprint": fingerprint,
            "letters": letters,
            "dead_letter_id": str(sample),
            "error_code": group.error_code,
            "agent": group.agent,
        },
    )


def tenants_tell(letter_ids: Sequence[uuid.UUID]) -> None:
    """Tells the tenants of these letters, each of a kind of failure once a day."""
    internal = [one.type for one in registry.definitions.values() if one.is_internal]
    letters = DeadLetter.objects.filter(pk__in=letter_ids).exclude(type__in=internal)
    letters = letters.order_by("tenant_id", "fingerprint", "pk")
    today = timezone.now().date()
    for letter in letters.distinct("tenant_id", "fingerprint"):
        notify(
            code=DEAD_LETTER_GROUP_OPENED,
            severity=Severity.WARNING,
            title=f"A step of {letter.type} gave up: {letter.error_code}",
            message=f"Step {letter.key} of workflow {letter.workflow_id} gave up ({letter.reason}).",
            audience=Audience.TENANT,
            tenant_id=letter.tenant_id,
            data={
                "fingerprint": letter.fingerprint,
                "dead_letter_id": str(letter.pk),
                "workflow_id": str(letter.workflow_id),
                "type": letter.type,
                "step": letter.key,
                "reason": letter.reason,
                "error_code": letter.error_code,
                "agent": letter.agent,
            },
            dedup_key=f"{DEAD_LETTER_GROUP_OPENED}/{letter.tenant_id}/{letter.fingerprint}/{today}",
        )
