"""Steps, attempts and events as tables below a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Count
from django.utils import timezone

from apps.console.display import (
    NOTHING,
    between,
    dollars,
    folded,
    folded_json,
    link,
    moment,
    status_label,
    text_block,
)
from apps.console.tables import Table
from apps.gateway.admin import calls_table
from apps.workflows.models import Event, Step, StepAttempt, Workflow
from apps.workflows.selectors import calls_of, steps_of
from apps.workflows.waits import StepWait, waits_of

SHOWN = 300
"""At most so many steps, attempts, calls and events are shown below one run."""

INLINE = 50
"""Up to so many steps or calls come with their outputs; beyond, each has a page of its own."""

STEP_STATUSES = {
    "blocked": "",
    "ready": "info",
    "dispatched": "info",
    "running": "info",
    "waiting": "warning",
    "succeeded": "success",
    "skipped": "warning",
    "omitted": "",
    "dead": "danger",
    "cancelled": "",
}
OUTCOMES = {"failed": "danger", "lost": "danger", "timed_out": "danger", "cancelled": ""}


def tables_of(workflow: Workflow, *, is_readable: bool = True) -> list[Table]:
    """What happened in a run, in a handful of queries whatever its size; only if it is readable with what was said."""
    counts = dict(workflow.steps.order_by().values_list("status").annotate(Count("pk")))
    attempts = StepAttempt.objects.filter(step__workflow=workflow).select_related("step")
    return [
        _steps_table(workflow, counts, is_readable),
        attempts_table(list(attempts.defer("step__output").order_by("-id")[:SHOWN])),
        _calls_table(workflow, is_readable),
        _events_table(workflow),
    ]


def attempts_table(attempts: Sequence[StepAttempt]) -> Table:
    """Attempts that did not succeed, newest first."""
    headers = ("step", *ATTEMPT_HEADERS)
    rows = [
        [link(attempt.step.key, "workflows_step_change", attempt.step_id), *attempt_cells(attempt)]
        for attempt in attempts
    ]
    return Table("Attempts that did not succeed", headers, rows, _cut(len(rows), "attempts"))


ATTEMPT_HEADERS = ("attempt", "outcome", "error", "message", "traceback", "worker", "started", "took")


def attempt_cells(attempt: StepAttempt) -> list[Any]:
    """An attempt that did not succeed, under ATTEMPT_HEADERS."""
    return [
        attempt.attempt,
        status_label(attempt.outcome, OUTCOMES),
        attempt.error_code or NOTHING,
        text_block(attempt.error_message),
        folded("show", attempt.traceback),
        attempt.worker,
        moment(attempt.started_at),
        between(attempt.started_at, attempt.finished_at),
    ]


def _steps_table(workflow: Workflow, counts: Mapping[str, int], is_readable: bool) -> Table:
    total = sum(counts.values())
    with_outputs = is_readable and total <= INLINE
    steps = steps_of(workflow) if with_outputs else steps_of(workflow).defer("output")
    headers = ["step", "status", "agent", "tier", "attempt", "waiting for", "worker", "started", "took"]
    shown = list(steps[:SHOWN])
    waits = waits_of(workflow, shown)
    rows = [_step_row(step, waits.get(step.pk), with_outputs) for step in shown]
    by_status = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))
    note = by_status if total <= SHOWN else f"The first {SHOWN} of {total:,} steps: {by_status}."
    return Table("Steps", [*headers, "output"] if with_outputs else headers, rows, note)


def _step_row(step: Step, wait: StepWait | None, with_output: bool) -> list[Any]:
    end = step.finished_at or (timezone.now() if step.status == "running" else None)
    row = [
        link(step.key, "workflows_step_change", step.pk),
        status_label(step.status, STEP_STATUSES),
        step.agent,
        step.tier,
        f"{step.attempt} of {step.max_attempts}",
        NOTHING if wait is None else f"{wait.code} since {moment(wait.since)}: {wait.reason}",
        step.worker or NOTHING,
        moment(step.started_at),
        between(step.started_at, end),
    ]
    return [*row, folded_json("show", step.output)] if with_output else row


def _calls_table(workflow: Workflow, is_readable: bool) -> Table:
    calls = list(calls_of(workflow).defer("response")[: SHOWN + 1])
    with_responses = is_readable and len(calls) <= INLINE
    if with_responses:
        calls = list(calls_of(workflow)[:INLINE])
    made_by = Step.objects.filter(pk__in={call.step_id for call in calls}).only("node", "index")
    note = f"The first {SHOWN} calls." if len(calls) > SHOWN else ""
    return calls_table(calls[:SHOWN], {step.pk: step.key for step in made_by}, with_responses, note)


def _events_table(workflow: Workflow) -> Table:
    events = list(Event.objects.filter(workflow=workflow).order_by("-id")[:SHOWN])
    rows = [[moment(event.created_at), event.kind, _told(event.data)] for event in reversed(events)]
    return Table("Events", ("at", "event", "what"), rows, _cut(len(rows), "events"))


def _told(data: Mapping[str, Any]) -> str:
    known = dict(data)
    index = known.pop("index", None)
    key = known.pop("key", None)
    subject = [] if key is None else [key if index is None else f"{key}[{index}]"]
    status = known.pop("status", None)
    if "cost_usd_micros" in known:
        known["cost"] = dollars(known.pop("cost_usd_micros"))
    facts = [f"{name} {value}" for name, value in known.items() if value is not None]
    return " ".join([*subject, *([status] if status else []), *([f"({', '.join(facts)})"] if facts else [])])


def _cut(count: int, name: str) -> str:
    return f"The latest {SHOWN} {name}." if count == SHOWN else ""
