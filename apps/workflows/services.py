"""Writes to runs: starting, cancelling and deciding. Steps are finished through `store`."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from agentplatform.agents.registry import registry
from agentplatform.agents.sub_workflows import RUN_WORKFLOW
from agentplatform.identifiers import uuid7
from agentplatform.llm.caching.keys import result_key
from agentplatform.llm.caching.normalising import without_fields
from agentplatform.llm.caching.policy import CacheControl
from agentplatform.llm.errors import ModelError
from agentplatform.llm.tiers import AUTO
from agentplatform.workflows import coordinator
from agentplatform.workflows.decisions import (
    CancelRequested,
    Decision,
    Event,
    IllegalEvent,
    PauseRequested,
    ResumeRequested,
)
from agentplatform.workflows.definition import Definition, StepSpec
from agentplatform.workflows.statuses import WorkflowStatus
from apps.database import call_function, to_jsonb
from apps.gateway.selectors import catalogue
from apps.tenants.models import ApiKey, Tenant
from apps.tenants.selectors import max_model_tier
from apps.workflows.complaints import feedback_counts
from apps.workflows.encoding import decision_to_json
from apps.workflows.models import Feedback, QueueConfig, Workflow, WorkflowDefinition
from apps.workflows.selectors import definition_by_id, queue_config, run_state
from apps.workflows.wake import wake

IDEMPOTENCY_HOURS = 24
KEY_REUSED = "this Idempotency-Key was used for another submission within 24 hours; use a new key"
DEFAULT_DEADLINE_SECONDS = {"interactive": 600, "standard": 3_600, "batch": 86_400}


class IdempotencyConflict(ValueError):
    """The key was used for another submission."""


class AlreadyFinished(ValueError):
    """The run has ended; nothing can be changed."""


class NotPaused(ValueError):
    """The run cannot be resumed: it is not paused, and something else has to happen."""


class NotFinished(ValueError):
    """The run has not ended; there is no result yet."""


def hash_of(asked: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of what was asked for."""
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Submission:
    """A request for a run, validated."""

    definition: WorkflowDefinition
    input: Mapping[str, Any]
    queue: str
    deadline_seconds: int
    max_cost_usd_micros: int | None = None
    metadata: Mapping[str, Any] | None = None
    cache_control: CacheControl = CacheControl.UNSAID
    session_id: str | None = None

    @property
    def body_hash(self) -> str:
        """SHA-256 over the canonical JSON of what was asked for."""
        document = {
            "type": self.definition.type,
            "input": self.input,
            "queue": self.queue,
            "deadline_seconds": self.deadline_seconds,
            "max_cost_usd_micros": self.max_cost_usd_micros,
            "metadata": self.metadata,
        }
        if self.session_id is not None:
            document["session_id"] = self.session_id
        return hash_of(document)


@dataclass(frozen=True, slots=True)
class StartedWorkflow:
    """A run that was accepted; `is_new` is False for a repeated submission.

    `is_answered` says that it has ended already, with a result that was kept.
    """

    id: uuid.UUID
    is_new: bool
    is_answered: bool = False


def workflow_start(
    *,
    tenant: Tenant,
    submission: Submission,
    api_key: ApiKey | None = None,
    idempotency_key: str | None = None,
) -> StartedWorkflow:
    """Stores a run with its first steps, in one round trip and one transaction.

    Where all that it would run has been answered before, it ends there and then with that result.

    With an idempotency key that was used within 24 hours the first run is returned; raises
    IdempotencyConflict when that was for another body.
    """
    definition = definition_by_id(submission.definition.pk)
    _, decision = coordinator.plan(definition, submission.input)
    document = {
        "id": uuid7(),
        "tenant_id": tenant.pk,
        "definition_id": submission.definition.pk,
        "api_key_id": api_key.pk if api_key is not None else None,
        "queue": submission.queue,
        "input": submission.input,
        "metadata": submission.metadata or {},
        "max_cost_usd_micros": submission.max_cost_usd_micros,
        "deadline_seconds": submission.deadline_seconds,
        **_about_caching(tenant, submission, definition),
    }
    arguments: list[Any] = [
        to_jsonb(document),
        to_jsonb(decision_to_json(definition, decision, queue_config(submission.queue))),
        idempotency_key,
        submission.body_hash if idempotency_key is not None else "",
        IDEMPOTENCY_HOURS,
    ]
    name, casts = "workflows_submit", ["jsonb", "jsonb", "text", "text", "int"]
    if submission.session_id is not None:
        assert definition.session is not None
        said = submission.input[definition.session.said]
        name, casts = "workflows_submit_in_session", [*casts, "text", "uuid", "text"]
        arguments += [submission.session_id, uuid7(), said]
    ((workflow_id, is_new, is_same, is_answered),) = call_function(name, arguments, casts)
    if not is_same:
        raise IdempotencyConflict(KEY_REUSED)
    if is_new and not is_answered:
        wake.dispatcher()
    return StartedWorkflow(workflow_id, is_new, is_answered)


def _about_caching(tenant: Tenant, submission: Submission, definition: Definition) -> dict[str, Any]:
    """Under which key the run's result may be kept, and whether one that is there may be given in its place.

    What is said in a session depends on what was said before, and belongs to it: its results are not given again.
    """
    told: dict[str, Any] = {"type": definition.type, "cache_control": submission.cache_control}
    ttl_seconds = definition.cache_ttl_seconds
    if ttl_seconds is None or "exact" not in settings.CACHE_LAYERS or not submission.cache_control.may_keep:
        return told
    if submission.session_id is not None:
        return told
    versions = [(name, registry.find_version(name)) for name in definition.depends_on]
    key = result_key(
        tenant_id=tenant.pk,
        version=str(submission.definition.pk),
        workflow_input=without_fields(submission.input, definition.volatile_fields),
        depends_on=[f"{name}:{version(tenant.pk) if version else ''}" for name, version in versions],
        max_tier=max_model_tier(tenant.pk),
    )
    return told | {
        "cache_key": key,
        "cache_seconds": ttl_seconds,
        "may_be_kept": True,
        "may_be_served": submission.cache_control.may_serve,
    }


def workflow_cancel(workflow_id: uuid.UUID) -> None:
    """Ends a run: its steps are cancelled, and calls in flight are broken off. Raises AlreadyFinished."""
    if workflow_decide(workflow_id, CancelRequested()) is Decided.ENDED_BEFORE:
        raise AlreadyFinished("the workflow has ended already; there is nothing to cancel")


def workflow_pause(workflow_id: uuid.UUID) -> bool:
    """No further step of the run starts until it is resumed; steps that run may end, and the deadline goes on.

    Nor do those of the runs that its steps have started, or start yet. Returns whether that is new. Raises
    AlreadyFinished.
    """
    decided = workflow_decide(workflow_id, PauseRequested())
    if decided is Decided.ENDED_BEFORE:
        raise AlreadyFinished("the workflow has ended already; there is nothing to pause")
    _runs_within_follow(workflow_id)
    return decided is Decided.CHANGED


def workflow_resume(workflow_id: uuid.UUID) -> bool:
    """A paused run goes on; returns whether it was paused.

    Raises AlreadyFinished, and NotPaused for a held one and one whose step is in a paused run.
    """
    try:
        decided = workflow_decide(workflow_id, _resume_by_itself)
    except IllegalEvent as error:
        raise NotPaused(str(error)) from error
    if decided is Decided.ENDED_BEFORE:
        raise AlreadyFinished("the workflow has ended already; there is nothing to resume")
    _runs_within_follow(workflow_id)
    return decided is Decided.CHANGED


def _runs_within_follow(workflow_id: uuid.UUID) -> None:
    """The unfinished runs that its steps have started pause or go on as it does, and theirs as they do.

    A run's own are looked for once it has followed: those that its steps start from then on are as it is.
    """
    within = Workflow.objects.filter(parent_id=workflow_id, finished_at=None).values_list("pk", flat=True)
    for run in list(within):
        workflow_follow(run)
        _runs_within_follow(run)


def workflow_follow(workflow_id: uuid.UUID) -> bool:
    """A run that a step has started pauses, goes on or ends as the one above it has; returns whether that is new."""
    try:
        return workflow_decide(workflow_id, _as_the_run_above) is Decided.CHANGED
    except IllegalEvent:  # it is held, and goes on by itself
        return False


def _as_the_run_above(workflow: Workflow) -> Event:
    """What makes it stand as its parent does by now: of a pause and a resume at once, the later one holds for both."""
    above = _status_above(workflow)
    assert above is not None
    if above.is_terminal:
        return CancelRequested()
    return PauseRequested() if above is WorkflowStatus.PAUSED else ResumeRequested()


def _resume_by_itself(workflow: Workflow) -> Event:
    """Raises IllegalEvent under a paused run: it would be paused again."""
    if _status_above(workflow) is WorkflowStatus.PAUSED:
        raise IllegalEvent(f"the workflow that runs it, {workflow.parent_id}, is paused; resume that one")
    return ResumeRequested()


def _status_above(workflow: Workflow) -> WorkflowStatus | None:
    if workflow.parent_id is None:
        return None
    return WorkflowStatus(Workflow.objects.values_list("status", flat=True).get(pk=workflow.parent_id))


def session_join(workflow_id: uuid.UUID, session_id: uuid.UUID) -> None:
    """Makes a run that was started for another a part of its session: it says nothing there, and is forgotten with it."""
    Workflow.objects.filter(pk=workflow_id).update(session=session_id)


def feedback_give(
    workflow: Workflow, *, api_key: ApiKey, rating: Feedback.Rating, comment: str = ""
) -> tuple[Feedback, bool]:
    """Stores what the tenant thinks of a run, in place of what it thought before; returns whether it is the first.

    It counts for the answers by meaning in the run, too. Raises NotFinished.
    """
    if workflow.finished_at is None:
        raise NotFinished("give feedback once the workflow has ended")
    verdict = {"api_key": api_key, "rating": rating, "comment": comment, "updated_at": Now()}
    with transaction.atomic():
        feedback, is_first = Feedback.objects.update_or_create(
            workflow=workflow, defaults=verdict, create_defaults={**verdict, "tenant_id": workflow.tenant_id}
        )
        feedback_counts(workflow, is_down=rating == Feedback.Rating.DOWN)
    feedback.refresh_from_db()
    return feedback, is_first


class Decided(StrEnum):
    """What became of an event of a run."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"  # it is so already
    ENDED_BEFORE = "ended_before"


def workflow_decide(workflow_id: uuid.UUID, event: Event | Callable[[Workflow], Event]) -> Decided:
    """Stores what the coordinator decides on an event of the run itself, or on the one that is found under its lock.

    Raises IllegalEvent.
    """
    with transaction.atomic():
        workflow = Workflow.objects.select_for_update(no_key=True).get(pk=workflow_id)
        if workflow.finished_at is not None:
            return Decided.ENDED_BEFORE
        run = run_state(workflow_id)
        happened = event(workflow) if callable(event) else event
        decision = coordinator.decide(run.definition, run.state, happened)
        if decision == Decision():
            return Decided.UNCHANGED
        workflow_apply(workflow, run.definition, decision)
        Workflow.objects.filter(pk=workflow_id).update(revision=F("revision") + 1)
    if decision.ending is not None:
        wake.ended(str(workflow_id))
    else:
        wake.events(str(workflow_id))
    wake.dispatcher()
    return Decided.CHANGED


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step that a submission would run.

    `model` is None when it calls none, or one that is chosen for each call; `count` and the worst case are None where only the run will tell how many.
    """

    key: str
    agent: str
    tier: str
    model: str | None
    count: int | None
    worst_case_cost_usd_micros: int | None


def workflow_plan(submission: Submission) -> list[PlannedStep]:
    """What a submission would run, and the most that each step could cost if all its attempts used all they may."""
    definition = definition_by_id(submission.definition.pk)
    _, decision = coordinator.plan(definition, submission.input)
    counts = {expansion.node: expansion.count for expansion in decision.expand}
    queue = queue_config(submission.queue)
    return [_planned(spec, counts.get(spec.key), queue) for spec in definition.steps]


def _planned(spec: StepSpec, count: int | None, queue: QueueConfig) -> PlannedStep:
    if spec.agent == RUN_WORKFLOW or spec.may_add:  # only the run will tell what it runs
        return PlannedStep(spec.key, spec.agent, spec.tier or AUTO, None, count, None)
    if not (spec.max_input_tokens or spec.max_output_tokens):
        return PlannedStep(spec.key, spec.agent, spec.tier or AUTO, None, count, None if count is None else 0)
    models = catalogue()
    try:
        model = None if spec.tier is None else models.settings(spec.tier).model
        attempt = models.worst_case_usd_micros(spec.tier, spec.max_input_tokens, spec.max_output_tokens)
    except ModelError:  # nobody serves it at the moment, or its price is not known
        return PlannedStep(spec.key, spec.agent, spec.tier or AUTO, None, count, None)
    attempts = (spec.max_attempts or queue.max_attempts) * spec.most_iterations
    # One that is tried again until the deadline has no worst case but the workflow's max_cost_usd.
    worst_case = None if count is None or spec.on_failure == "retry" else attempt * count * attempts
    return PlannedStep(spec.key, spec.agent, spec.tier or AUTO, model, count, worst_case)


def workflow_apply(workflow: Workflow, definition: Definition, decision: Decision) -> None:
    """Stores a decision on a run whose lock its caller holds."""
    document = to_jsonb(decision_to_json(definition, decision, queue_config(workflow.queue_id)))
    ((ready,),) = call_function("workflows_apply", [workflow.pk, document], ["uuid", "jsonb"])
    if decision.status is not None:
        status_arguments = [workflow.pk, decision.status.value]
        ((ready,),) = call_function("workflows_set_status", status_arguments, ["uuid", "text"])
    if ready and workflow.status == WorkflowStatus.PAUSED and decision.status is None:
        call_function("workflows_park", [workflow.pk], ["uuid"])
    elif ready:
        call_function("workflows_mark_lane", [workflow.queue_id, workflow.tenant_id], ["text", "uuid"])
