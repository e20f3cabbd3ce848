"""How a workflow and its steps are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agentplatform.workflows.statuses import StepStatus, WorkflowStatus
from apps.tools.models import ToolCall
from apps.tools.selectors import tool_calls_of
from apps.workflows.models import Feedback, Workflow
from apps.workflows.selectors import Served, served_of, steps_of
from apps.workflows.waits import WAIT_CODES, waits_of


class CacheSerializer(serializers.Serializer):
    """An answer that was kept, and given again."""

    layer = serializers.ChoiceField(["exact", "semantic", "in_flight"])
    similarity = serializers.FloatField(help_text="Of the questions, as a cosine; 1 for the same request.")
    age_seconds = serializers.FloatField()
    source_workflow_id = serializers.UUIDField(help_text="The workflow that it was bought for.")


class ServedSerializer(serializers.Serializer):
    """What answered a step's latest call."""

    tier = serializers.CharField()
    model = serializers.CharField()
    escalated_from = serializers.CharField(
        allow_null=True, help_text="The tier whose answer was not good enough; null for a first answer."
    )
    cache = CacheSerializer(allow_null=True, help_text="Where its answer was kept; null where it was bought.")

    def to_representation(self, instance: Served) -> dict[str, Any]:
        return {
            "tier": instance.tier,
            "model": instance.model,
            "escalated_from": instance.escalated_from or None,
            "cache": None if instance.cache is None else CacheSerializer(instance.cache).data,
        }


class DegradationSerializer(serializers.Serializer):
    """Something that was not as asked for."""

    code = serializers.CharField()
    message = serializers.CharField()
    step = serializers.CharField(required=False)
    requested_model = serializers.CharField(required=False, help_text="Where another model has answered.")
    served_model = serializers.CharField(required=False)

    def to_representation(self, instance: Mapping[str, Any]) -> dict[str, Any]:
        return dict(instance)


class ToolCallSerializer(serializers.Serializer):
    """A call of a tool that a step has made: neither what went in nor what came out."""

    tool = serializers.CharField()
    status = serializers.ChoiceField(ToolCall.Status.values)
    code = serializers.CharField(help_text="Why it did not succeed; empty for one that did.")
    attempt = serializers.IntegerField()
    seconds = serializers.FloatField()
    cost_usd_micros = serializers.IntegerField()


class StepSerializer(serializers.Serializer):
    """A step of a run."""

    key = serializers.CharField()
    status = serializers.ChoiceField([status.value for status in StepStatus])
    attempts = serializers.IntegerField(source="attempt")
    agent = serializers.CharField()
    tier = serializers.CharField(help_text="As its definition says; auto: chosen for each call.")
    served_by = ServedSerializer(
        allow_null=True, help_text="What answered its latest call; null where no model has."
    )
    tool_calls = ToolCallSerializer(many=True)
    waiting_for = serializers.ChoiceField(
        WAIT_CODES, allow_null=True, source="wait.code", default=None, help_text="Why it has not begun."
    )
    waiting_since = serializers.DateTimeField(allow_null=True, source="wait.since", default=None)
    waiting_until = serializers.DateTimeField(
        allow_null=True, source="wait.until", default=None, help_text="null where that is not known."
    )
    waiting_reason = serializers.CharField(
        allow_null=True, source="wait.reason", default=None, help_text="The same in words."
    )


class WorkflowSummarySerializer(serializers.Serializer):
    """A run, in a list."""

    id = serializers.UUIDField()
    type = serializers.CharField(source="definition.type")
    status = serializers.ChoiceField([status.value for status in WorkflowStatus])
    priority = serializers.CharField(source="queue_id")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    cost_usd_micros = serializers.IntegerField()
    metadata = serializers.JSONField()
    session_id = serializers.CharField(
        source="session.external_id",
        default=None,
        allow_null=True,
        help_text="The conversation it is a part of.",
    )


class FeedbackSerializer(serializers.Serializer):
    """What somebody thinks of a run's result."""

    rating = serializers.ChoiceField(Feedback.Rating.values)
    comment = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class WorkflowSerializer(WorkflowSummarySerializer):
    """A run, whole."""

    definition_version = serializers.IntegerField(source="definition.version")
    parent_workflow_id = serializers.UUIDField(
        source="parent_id", allow_null=True, help_text="The workflow whose step has started it."
    )
    source_workflow_id = serializers.UUIDField(
        source="source_id", allow_null=True, help_text="The workflow that it replays or forks."
    )
    deadline_at = serializers.DateTimeField()
    result = serializers.JSONField(allow_null=True)
    error = serializers.JSONField(allow_null=True)
    coordination_seconds = serializers.FloatField()
    degradations = DegradationSerializer(many=True)
    stale = serializers.SerializerMethodField()
    as_of = serializers.SerializerMethodField()
    cache = serializers.SerializerMethodField()
    feedback = serializers.SerializerMethodField()
    steps = serializers.SerializerMethodField()

    def get_stale(self, workflow: Workflow) -> bool:
        """Whether this is how it was last seen, since the database does not answer in time."""
        return False

    @extend_schema_field({"type": "string", "format": "date-time", "nullable": True})
    def get_as_of(self, workflow: Workflow) -> str | None:
        """When it was last seen, if that is what is shown; else null."""
        return None

    @extend_schema_field(CacheSerializer(allow_null=True))
    def get_cache(self, workflow: Workflow) -> Any:
        """Which kept result was given in place of a run; null when its steps have run."""
        return None if workflow.cache is None else CacheSerializer(workflow.cache).data

    @extend_schema_field(FeedbackSerializer(allow_null=True))
    def get_feedback(self, workflow: Workflow) -> Any:
        given = getattr(workflow, "feedback", None)
        return None if given is None else FeedbackSerializer(given).data

    @extend_schema_field(StepSerializer(many=True))
    def get_steps(self, workflow: Workflow) -> Any:
        steps: list[Any] = list(steps_of(workflow).defer("output", "options"))
        waits, served = waits_of(workflow, steps), served_of(workflow)
        calls = tool_calls_of(workflow.pk)
        for step in steps:
            step.wait = waits.get(step.pk)
            step.served_by = served.get(step.pk)
            step.tool_calls = calls.get(step.pk, [])
        return StepSerializer(steps, many=True).data
