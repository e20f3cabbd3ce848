"""Reads of definitions, queues and runs."""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now

from agentplatform.llm.messages import ModelResponse
from agentplatform.workflows.decisions import WorkflowState
from agentplatform.workflows.definition import Definition
from agentplatform.workflows.queueing import Backlog, LaneFacts, LendableWorker, backlog_of
from apps.database import call_function, from_jsonb, release_connection
from apps.gateway.models import Call
from apps.tenants.models import Tenant
from apps.workflows.encoding import run_from_json
from apps.workflows.models import (
    Event,
    Heartbeat,
    Lane,
    QueueConfig,
    Schedule,
    Step,
    Workflow,
    WorkflowDefinition,
)


@functools.lru_cache(maxsize=1024)
def definition_by_id(definition_id: int) -> Definition:
    """A stored version of a definition. Versions never change, so a process reads each once."""
    try:
        return Definition.from_json(WorkflowDefinition.objects.get(pk=definition_id).content)
    finally:
        release_connection()


def queue_config(name: str) -> QueueConfig:
    """The queue's configuration, at most settings.CONFIG_SECONDS old."""
    return _queue_config(name, int(time.monotonic() / settings.CONFIG_SECONDS))


@functools.lru_cache(maxsize=64)
def _queue_config(name: str, _period: int) -> QueueConfig:
    try:
        return QueueConfig.objects.get(pk=name)
    finally:
        release_connection()


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as the reducer sees it, and the revision at which it was so."""

    definition: Definition
    state: WorkflowState
    revision: int
    seconds_left: float


def run_state(workflow_id: uuid.UUID) -> RunState:
    """The present state of a run."""
    data = from_jsonb(call_function("workflows_state", [workflow_id], ["uuid"])[0][0])
    definition, state = run_from_json(definition_by_id(data["definition_id"]), data)
    return RunState(definition, state, data["revision"], data["seconds_left"])


def attempts_that_do_not_count(step: Step) -> tuple[int, int]:
    """How many attempts of the step, since it was last requeued, ended with their worker, and how many in a wait."""
    try:
        ended = step.attempts.filter(attempt__gt=step.attempts_before)
        counts = ended.aggregate(
            lost=Count("pk", filter=Q(outcome="lost")), waited=Count("pk", filter=Q(outcome="waited"))
        )
    finally:
        release_connection()
    return counts["lost"], counts["waited"]


def step_input(workflow_id: uuid.UUID, node: str) -> Mapping[str, Any]:
    """What the run's step `node` gets of its input, and perhaps more: see `workflows_step_input`."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_STEP_INPUT, [node, workflow_id])
            data: Mapping[str, Any] = from_jsonb(cursor.fetchone()[0])
            return data
    finally:
        release_connection()


_STEP_INPUT = "SELECT workflows_step_input(input, definition_id, %s) FROM workflows_workflow WHERE id = %s"


def current_definitions() -> QuerySet[WorkflowDefinition]:
    """The current version of every type that tenants may submit."""
    return WorkflowDefinition.objects.filter(is_current=True, is_internal=False).order_by("type")


def internal_definition(type_: str) -> WorkflowDefinition:
    """The current version of a type that the platform starts itself."""
    return WorkflowDefinition.objects.get(type=type_, is_current=True, is_internal=True)


def workflows_of(tenant: Tenant) -> QuerySet[Workflow]:
    """The tenant's runs, newest first, without those that the platform has started."""
    runs = Workflow.objects.of(tenant).filter(definition__is_internal=False)
    return runs.select_related("definition", "session").order_by("-id")


MOST_APPROVALS_COUNTED = 100


def approvals_awaited() -> int:
    """How many steps wait for somebody's approval; counted no further than MOST_APPROVALS_COUNTED."""
    asking = Step.objects.filter(status="waiting", waiting_for="approval").order_by()
    return len(asking.values_list("pk")[:MOST_APPROVALS_COUNTED])


def asking_for_approval(workflows: QuerySet[Workflow], tenant: Tenant) -> QuerySet[Workflow]:
    """Those of the tenant's runs in which a step waits for approval."""
    asking = Step.objects.filter(tenant=tenant, status="waiting", waiting_for="approval")
    return workflows.filter(pk__in=asking.values("workflow_id"))


def schedules_of(tenant: Tenant) -> QuerySet[Schedule]:
    """The tenant's schedules, the newest first."""
    return Schedule.objects.filter(tenant=tenant).select_related("tenant").order_by("-id")


def children_of(workflow: Workflow, limit: int) -> list[uuid.UUID]:
    """The runs that its steps have started, the latest first."""
    return list(
        Workflow.objects.filter(parent_id=workflow.pk).order_by("-id").values_list("pk", flat=True)[:limit]
    )


def steps_of(workflow: Workflow) -> QuerySet[Step]:
    """The run's steps, in the order of its definition."""
    return workflow.steps.order_by("position", "index")


EVENTS_LIMIT = 500


def events_after(workflow_id: uuid.UUID, last_event_id: int) -> Sequence[Event]:
    """The run's next events, at most EVENTS_LIMIT, in the order in which they were committed."""
    events = Event.objects.filter(workflow_id=workflow_id, id__gt=last_event_id).order_by("id")
    return list(events[:EVENTS_LIMIT])


def latest_event_ids(workflow_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
    """The id of the latest event of each of these runs that has any."""
    latest = Event.objects.filter(workflow=OuterRef("pk")).order_by("-id").values("id")[:1]
    runs = Workflow.objects.filter(pk__in=workflow_ids).order_by().annotate(latest=Subquery(latest))
    return dict(runs.exclude(latest=None).values_list("pk", "latest"))


def ended_status(workflow_id: uuid.UUID) -> str | None:
    """The status in which the run has ended; None while it has not."""
    ended = Workflow.objects.filter(pk=workflow_id).exclude(finished_at=None)
    return ended.values_list("status", flat=True).first()


def calls_of(workflow: Workflow) -> QuerySet[Call]:
    """The model calls of the run, in order."""
    return Call.objects.filter(workflow_id=workflow.pk).order_by("started_at")


@dataclass(frozen=True, slots=True)
class Served:
    """What answered a step's latest call. `escalated_from` is the tier whose answer was not good enough, or "".

    `cache` says where the answer was kept, if it was not bought.
    """

    tier: str
    provider: str
    model: str
    escalated_from: str
    cache: Mapping[str, Any] | None


def served_of(workflow: Workflow) -> dict[uuid.UUID, Served]:
    """By step, for those that a model has answered; one query, which reads no answers."""
    calls = Call.objects.filter(workflow_id=workflow.pk, status=Call.Status.SETTLED)
    latest = calls.order_by("step_id", "-ordinal", "-settled_at").distinct("step_id")
    names = ("tier", "provider", "model", "escalated_from", "cache")
    return {
        row["step_id"]: Served(**{name: row[name] for name in names})
        for row in latest.values("step_id", *names)
    }


def kept_words(workflow: Workflow) -> tuple[str, str]:
    """Of a run that was given a kept result: the key of the step that made it, and what a model said there last.

    "" where none did, or its call is no longer there.
    """
    assert workflow.cache is not None
    source, key = workflow.cache["source_workflow_id"], definition_by_id(workflow.definition_id).result
    steps = Step.objects.filter(workflow_id=source, node=key)
    calls = Call.objects.filter(step_id__in=steps.values("pk"), status=Call.Status.SETTLED)
    response = calls.order_by("-ordinal").values_list("response", flat=True).first()
    return key, "" if response is None else ModelResponse.from_json(response).text


LIVE_SECONDS = 20
"""For how long after its last heartbeat a process counts as alive."""


@dataclass(frozen=True, slots=True)
class LiveProcesses:
    """Which kinds of process are alive, and which step queues no worker serves."""

    kinds: frozenset[str]
    unserved_queues: tuple[str, ...]


def live_processes() -> LiveProcesses:
    """What the heartbeats say."""
    live = Heartbeat.objects.filter(beat_at__gt=Now() - timedelta(seconds=LIVE_SECONDS))
    rows = list(live.values_list("kind", "queues"))
    served = {queue for _, queues in rows for queue in queues}
    queues = QueueConfig.objects.values_list("name", flat=True)
    return LiveProcesses(
        kinds=frozenset(kind for kind, _ in rows),
        unserved_queues=tuple(queue for queue in queues if queue not in served),
    )


def unfinished_counts(tenant_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, int]:
    """How many runs each tenant has that have not ended, in one query on the index of unfinished runs."""
    counted = Workflow.objects.filter(finished_at=None, tenant__in=list(tenant_ids)).order_by()
    return dict(counted.values_list("tenant").annotate(Count("pk")))


READY_COUNTED = 10_000
"""How many ready steps of a tenant are counted at most."""


@dataclass(frozen=True, slots=True)
class QueueSignal:
    """How a queue stands for one pool of workers: slots, steps, and how long they wait.

    `slot_wait_seconds` leaves out waits for limits of the tenant's own: more slots would not end those.
    """

    queue: str
    pool: str
    slots: int
    free: int
    ready: int
    active: int
    oldest_wait_seconds: float
    slot_wait_seconds: float
    mean_step_seconds: float | None

    @property
    def backlog(self) -> Backlog:
        """How much work waits."""
        return backlog_of(ready=self.ready, mean_step_seconds=self.mean_step_seconds, slots=self.slots)


def queue_signals(*, counted: int = READY_COUNTED) -> list[QueueSignal]:
    """Every queue and pool, the most urgent first; ready steps of a tenant are counted up to `counted`."""
    return [QueueSignal(*row) for row in call_function("workflows_queue_signals", [counted], ["int"])]


def lendable_workers() -> list[LendableWorker]:
    """The live workers that may be lent."""
    live = Heartbeat.objects.filter(
        beat_at__gt=Now() - timedelta(seconds=LIVE_SECONDS), is_lendable=True, home__len=1
    )
    try:
        rows = list(live.values_list("node", "home", "queues", "slots"))
    finally:
        release_connection()
    return [LendableWorker(node, home[0], frozenset(queues), slots) for node, home, queues, slots in rows]


def lane_facts(queue: str, tenant_id: uuid.UUID) -> LaneFacts:
    """What decides whether this tenant's ready steps are admitted to the queue."""
    data = from_jsonb(call_function("workflows_lane_facts", [queue, tenant_id], ["text", "uuid"])[0][0])
    return LaneFacts.from_json({**data, **{name: data[name] or 0 for name in ("pool_slots", "pool_free")}})


def lanes_of(queue: str, limit: int) -> list[Lane]:
    """The queue's lanes with their tenants: those with a backlog first, next in turn first."""
    lanes = Lane.objects.filter(queue=queue).select_related("tenant__tier")
    return list(lanes.order_by("-backlogged", "virtual_time")[:limit])
