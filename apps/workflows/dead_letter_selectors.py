"""Reads of dead letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from apps.database import from_jsonb
from apps.workflows.letters import DeadLetter, DeadLetterGroup
from apps.workflows.models import StepAttempt

_PAYLOAD = """
    SELECT jsonb_build_object(
        'input', workflows_step_input(w.input, w.definition_id, s.node), 'options', s.options,
        'item', CASE WHEN s.for_each IS NULL THEN NULL
                WHEN s.for_each[1] = 'input' THEN w.input #> s.for_each[2:] -> s.index
                ELSE (workflows_node_output(w.id, s.for_each[1]) #> s.for_each[2:]) -> s.index END,
        'needs', coalesce((SELECT jsonb_object_agg(need, workflows_node_output(w.id, need))
                           FROM unnest(s.needs) AS need), '{}'))
    FROM workflows_step s JOIN workflows_workflow w ON w.id = s.workflow_id WHERE s.id = %s
"""


def dead_letter_attempts(letter: DeadLetter) -> Sequence[StepAttempt]:
    """The attempts of the letter's step up to its last, in order."""
    attempts = StepAttempt.objects.filter(step_id=letter.step_id, attempt__lte=letter.attempt)
    return list(attempts.order_by("attempt"))


def dead_letter_payload(letter: DeadLetter) -> Mapping[str, Any] | None:
    """What the step would be given if it ran now: input, options, item, needs. None when the step is no more."""
    with connection.cursor() as cursor:
        cursor.execute(_PAYLOAD, [letter.step_id])
        row = cursor.fetchone()
    return None if row is None else from_jsonb(row[0])


def dead_letter_groups() -> QuerySet[DeadLetterGroup]:
    """The groups, each with how many of its letters are `open_letters`; those seen last come first."""
    open_letters = DeadLetter.objects.filter(fingerprint=OuterRef("pk"), status=DeadLetter.Status.OPEN)
    counted = open_letters.order_by().values("fingerprint").annotate(n=Count("pk")).values("n")
    groups = DeadLetterGroup.objects.annotate(open_letters=Coalesce(Subquery(counted), 0))
    return groups.order_by("-last_seen_at", "fingerprint")


OPEN_COUNTED = 1_000


def open_letters_counted() -> int:
    """How many letters are open, counted up to OPEN_COUNTED."""
    return DeadLetter.objects.filter(status=DeadLetter.Status.OPEN).order_by()[: OPEN_COUNTED + 1].count()


def open_dead_letter_groups(limit: int) -> list[tuple[DeadLetterGroup, int]]:
    """The groups with most open letters, each with how many those are."""
    letters = DeadLetter.objects.filter(status=DeadLetter.Status.OPEN).order_by()
    counted = letters.values_list("fingerprint").annotate(n=Count("pk")).order_by("-n", "fingerprint")
    counts = dict(counted[:limit])
    groups = DeadLetterGroup.objects.in_bulk(counts)
    return [(groups[fingerprint], count) for fingerprint, count in counts.items() if fingerprint in groups]
