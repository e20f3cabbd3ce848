"""Runs and their steps. Step state is changed by the functions in `migrations/sql` alone, fenced by attempt."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from agentplatform.identifiers import uuid7
from agentplatform.workflows.statuses import StepStatus, WaitingFor, WorkflowStatus
from apps.knowledge.models import Session
from apps.tenants.models import ApiKey, Tenant
from apps.workflows.letters import DeadLetter, DeadLetterGroup, OperatorAction
from apps.workflows.process_models import Heartbeat, Leadership
from apps.workflows.queue_models import Allowance, Lane, QueueConfig, QueuePace, QueuePool
from apps.workflows.run_models import Feedback, IdempotencyKey, Signal
from apps.workflows.schedule_models import Schedule

# Django looks for models here.
__all__ = [
    "Allowance",
    "DeadLetter",
    "DeadLetterGroup",
    "Feedback",
    "Heartbeat",
    "IdempotencyKey",
    "Lane",
    "Leadership",
    "OperatorAction",
    "QueueConfig",
    "QueuePace",
    "QueuePool",
    "Schedule",
    "Signal",
]


def choices(statuses: type[WorkflowStatus] | type[StepStatus] | type[WaitingFor]) -> list[tuple[str, str]]:
    return [(status.value, status.value) for status in statuses]


class WorkflowDefinition(models.Model):
    """A stored version of a definition. Versions never change; a change of content makes a new one."""

    type = models.CharField(max_length=64)
    version = models.PositiveIntegerField()
    title = models.CharField(max_length=200)
    content = models.JSONField()
    content_hash = models.CharField(max_length=64)
    is_current = models.BooleanField(default=True)
    is_internal = models.BooleanField(
        default=False, db_default=False, help_text="Started by the platform alone, and not shown to tenants."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "definition"
        ordering = ["type", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["type", "version"], name="workflows_definition_version"),
            models.UniqueConstraint(
                fields=["type"], condition=models.Q(is_current=True), name="workflows_definition_one_current"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} v{self.version}"


class WorkflowQuerySet(models.QuerySet["Workflow"]):
    def of(self, tenant: Tenant) -> WorkflowQuerySet:
        """The runs of this tenant; nothing else may be shown to it."""
        return self.filter(tenant=tenant)


class Workflow(models.Model):
    """One submitted run, pinned to a version of its definition.

    `revision` grows with every change of its steps: a decision made on an older one is made again. `fan_out`
    holds the number of steps of every node whose list is known.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="workflows", db_index=False)
    definition = models.ForeignKey(
        WorkflowDefinition, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    api_key = models.ForeignKey(
        ApiKey, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False, db_constraint=False
    )
    status = models.CharField(
        max_length=16, choices=choices(WorkflowStatus), default=WorkflowStatus.RUNNING.value
    )
    queue = models.ForeignKey(QueueConfig, on_delete=models.PROTECT, related_name="+", db_index=False)
    revision = models.BigIntegerField(default=0)
    fan_out = models.JSONField(default=dict)
    input = models.JSONField()
    metadata = models.JSONField(default=dict)
    result = models.JSONField(null=True)
    error = models.JSONField(null=True)
    degradations = models.JSONField(default=list)
    session = models.ForeignKey(
        Session,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        db_constraint=False,
        help_text="The conversation that it is a part of.",
    )
    cache_control = models.CharField(
        max_length=16,
        default="",
        db_default="",
        help_text="What its submission said of caches: no-cache, no-store, or nothing.",
    )
    cache_key = models.CharField(
        max_length=64,
        null=True,
        help_text="SHA-256 over all that its result depends on, where that may be given again.",
    )
    cache = models.JSONField(null=True, help_text="Which run's result was given again, if one was.")
    parent_id = models.UUIDField(null=True, help_text="The run whose step has started it.")
    parent_step_id = models.UUIDField(null=True)
    root_id = models.UUIDField(null=True, help_text="The run that was submitted, in which it is nested.")
    depth = models.SmallIntegerField(default=0, db_default=0)
    schedule_id = models.UUIDField(null=True, help_text="The schedule that has started it.")
    source_id = models.UUIDField(null=True, help_text="The run that it replays or forks.")
    added_steps = models.JSONField(default=list, db_default=[], help_text="Steps that its agents have added.")
    cost_usd_micros = models.BigIntegerField(default=0)
    max_cost_usd_micros = models.BigIntegerField(null=True)
    coordination_seconds = models.FloatField(default=0.0)
    deadline_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    objects = WorkflowQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        permissions = [
            ("cancel_workflow", "Can cancel workflows"),
            ("pause_workflow", "Can pause and resume workflows"),
        ]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="workflows_workflow_tenant"),
            models.Index(
                fields=["status", "-id"],
                condition=models.Q(status__in=["partial", "failed", "cancelled"]),
                name="workflows_workflow_failed",
            ),
            models.Index(
                fields=["deadline_at"],
                condition=models.Q(finished_at=None),
                name="workflows_workflow_deadline",
            ),
            models.Index(
                fields=["cache_key", "-id"],
                condition=models.Q(cache_key__isnull=False),
                name="workflows_workflow_cache_key",
            ),
            models.Index(
                fields=["id"],
                condition=models.Q(finished_at=None) & ~models.Q(parent_id=None),
                name="workflows_workflow_nested",
            ),
            *(
                models.Index(
                    fields=[name, "-id"],
                    condition=~models.Q(**{name: None}),
                    name=f"workflows_workflow_{short}",
                )
                for name, short in (
                    ("parent_id", "parent"),
                    ("parent_step_id", "step"),
                    ("root_id", "root"),
                    ("schedule_id", "schedule"),
                )
            ),
            # What ended in an hour: rows that stand together end together, so a few blocks of the table are enough.
            BrinIndex(
                fields=["finished_at"],
                name="workflows_workflow_ended",
                pages_per_range=32,
                autosummarize=True,
            ),
            models.Index(
                fields=["session", "-id"],
                condition=models.Q(session__isnull=False),
                name="workflows_workflow_session",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="workflows_workflow_terminal_is_finished",
                condition=models.Q(
                    status__in=["succeeded", "partial", "failed", "cancelled"], finished_at__isnull=False
                )
                | models.Q(status__in=["running", "paused", "held"], finished_at=None),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Step(models.Model):
    """The hot row of a step, narrow until its last update adds the output; attempts that failed stand apart.

    Tenant and queue are copies of its workflow's, so the database checks them there and not again for every step;
    and its numbers have no CHECK each, which PostgreSQL would read anew at every update.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="steps", db_index=False)
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    queue = models.ForeignKey(
        QueueConfig, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    node = models.CharField(max_length=64)
    index = models.IntegerField(
        null=True, help_text="Which element of its list, or which iteration of a loop."
    )
    position = models.IntegerField(help_text="Where its node stands in the definition.")
    status = models.CharField(max_length=16, choices=choices(StepStatus))
    waiting_for = models.CharField(max_length=16, choices=choices(WaitingFor), null=True)
    attempt = models.IntegerField(default=0, help_text="The fencing token: which claim holds it.")
    attempts_before = models.IntegerField(
        default=0, db_default=0, help_text="Attempts before it was last requeued: they count no more."
    )
    agent = models.CharField(max_length=64)
    tier = models.CharField(max_length=16)
    label = models.CharField(max_length=130)
    needs = ArrayField(models.CharField(max_length=64), default=list)
    for_each = ArrayField(models.CharField(max_length=64), null=True)
    options = models.JSONField(default=dict)
    estimated_tokens = models.IntegerField()
    timeout_seconds = models.IntegerField()
    max_attempts = models.IntegerField()
    run_at = models.DateTimeField(null=True)
    ready_at = models.DateTimeField(null=True)
    hinted_at = models.DateTimeField(null=True)
    hints = models.SmallIntegerField(default=0)
    worker = models.CharField(max_length=128, null=True)
    started_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    restarted_at = models.DateTimeField(
        null=True, help_text="Runs that it had started, and that have ended before, count no more."
    )
    output = models.JSONField(null=True)

    class Meta:
        ordering = ["workflow_id", "position", "index"]
        permissions = [("approve_step", "Can approve and reject steps")]
        constraints = [
            models.UniqueConstraint(
                fields=["workflow", "node", "index"], name="workflows_step_key", nulls_distinct=False
            ),
            models.CheckConstraint(
                name="workflows_step_running_has_lease",
                condition=~models.Q(status="running") | models.Q(lease_expires_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["queue", "tenant", "workflow", "position", "index"],
                condition=models.Q(status="ready"),
                name="workflows_step_ready",
            ),
            models.Index(
                fields=["queue", "tenant"],
                condition=models.Q(status__in=["dispatched", "running"]),
                name="workflows_step_active",
            ),
            models.Index(
                fields=["run_at"], condition=models.Q(status="waiting"), name="workflows_step_waiting"
            ),
            models.Index(
                fields=["id"],
                condition=models.Q(status="waiting", waiting_for="workflow"),
                name="workflows_step_nested",
            ),
            models.Index(
                fields=["tenant", "workflow"],
                condition=models.Q(status="waiting", waiting_for="approval"),
                name="workflows_step_asking",
            ),
            BrinIndex(
                fields=["finished_at"], name="workflows_step_ended", pages_per_range=32, autosummarize=True
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def key(self) -> str:
        """How the API names it: the node, and in a fan-out the element."""
        return self.node if self.index is None else f"{self.node}[{self.index}]"


class AwaitedApproval(Step):
    """A step that waits for somebody's approval, as a list of its own shows it."""

    class Meta:
        proxy = True
        verbose_name = "approval"


class StepAttempt(models.Model):
    """An attempt that ended without success, and how. The one that succeeded stands on the step's own row.

    Attempts and events are written by functions that hold the workflow's lock, for a step they have just changed:
    a foreign key's check would look for what is in hand.
    """

    id = models.BigAutoField(primary_key=True)
    step = models.ForeignKey(
        Step, on_delete=models.CASCADE, related_name="attempts", db_index=False, db_constraint=False
    )
    attempt = models.IntegerField()
    outcome = models.CharField(max_length=16)
    worker = models.CharField(max_length=128)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["step_id", "attempt"]
        constraints = [
            models.UniqueConstraint(fields=["step", "attempt"], name="workflows_attempt_once"),
        ]


class Event(models.Model):
    """What happened in a workflow, in the order in which it was committed."""

    id = models.BigAutoField(primary_key=True)
    workflow = models.ForeignKey(
        Workflow, on_delete=models.CASCADE, related_name="events", db_index=False, db_constraint=False
    )
    kind = models.CharField(max_length=32)
    data = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["workflow", "id"], name="workflows_event_stream")]
