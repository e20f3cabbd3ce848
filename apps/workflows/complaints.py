"""What users say of results counts for the answers by meaning that are in them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from apps.gateway.cache_check_services import Complaint, complaints_make, complaints_withdraw
from apps.gateway.models import Call
from apps.workflows.models import Step, Workflow


def feedback_counts(workflow: Workflow, *, is_down: bool) -> int:
    """Has a user's verdict on a run count for the answers by meaning in it; returns for how many.

    A run that was answered whole by another run's result has those of that run.
    """
    if not is_down:
        return complaints_withdraw(workflow.pk)
    source = (workflow.cache or {}).get("source_workflow_id")
    runs = [workflow.pk] if source is None else [workflow.pk, uuid.UUID(source)]
    calls = Call.objects.filter(workflow_id__in=runs, tenant=workflow.tenant_id, cache__layer="semantic")
    return complaints_make(workflow.pk, list(_complaints(list(calls.order_by("pk")))))


def _complaints(calls: list[Call]) -> Iterable[Complaint]:
    nodes = dict(Step.objects.filter(pk__in={call.step_id for call in calls}).values_list("pk", "node"))
    for call in calls:
        if call.step_id in nodes:
            yield Complaint(call, f"{call.task_type}.{nodes[call.step_id]}")
