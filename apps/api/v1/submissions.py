"""What a submission is asked with, and what it is answered with."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.workflows.definition import MAX_DEADLINE_SECONDS
from agentplatform.workflows.statuses import WorkflowStatus
from apps.api.serializers import (
    ObjectField,
    StrictBooleanField,
    StrictCharField,
    StrictIntegerField,
    StrictSerializer,
    UsdField,
)
from apps.knowledge.session_models import MAX_SESSION_ID_CHARACTERS
from apps.workflows.submissions import DEFAULT_QUEUE

MAX_METADATA_BYTES = 16_384


class MetadataField(ObjectField):
    """What a run carries along for who submits it, up to MAX_METADATA_BYTES."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value = super().to_internal_value(data)
        if len(str(value)) > MAX_METADATA_BYTES:
            raise serializers.ValidationError(
                f"At most {MAX_METADATA_BYTES} characters of metadata are kept."
            )
        return value


class SubmissionSerializer(StrictSerializer):
    """A request for a run. Without `type` the platform finds the definition that takes the input."""

    type = StrictCharField(required=False, max_length=64)
    input = ObjectField()
    priority = serializers.ChoiceField(["interactive", "standard", "batch"], default=DEFAULT_QUEUE)
    deadline_seconds = StrictIntegerField(required=False, min_value=1, max_value=MAX_DEADLINE_SECONDS)
    max_cost_usd = UsdField(required=False)
    metadata = MetadataField(required=False)
    session_id = StrictCharField(
        required=False,
        trim_whitespace=False,
        max_length=MAX_SESSION_ID_CHARACTERS,
        help_text="Your own id of a conversation, for definitions that look back on its earlier turns.",
    )
    dry_run = StrictBooleanField(default=False)


class AcceptedSerializer(serializers.Serializer):
    """An accepted run, and where to watch it."""

    workflow_id = serializers.UUIDField()
    status_url = serializers.URLField()
    events_url = serializers.URLField()
    status = serializers.ChoiceField(
        [status.value for status in WorkflowStatus],
        required=False,
        help_text="With `Prefer: wait`: how it stood when the wait was over.",
    )


class PlannedStepSerializer(serializers.Serializer):
    """A step that a submission would run."""

    key = serializers.CharField()
    agent = serializers.CharField()
    tier = serializers.CharField()
    model = serializers.CharField(allow_null=True, help_text="null when it calls none.")
    count = serializers.IntegerField(
        allow_null=True, help_text="How many; null where only the run will tell."
    )
    worst_case_cost_usd_micros = serializers.IntegerField(allow_null=True)


class PlanSerializer(serializers.Serializer):
    """What a submission would run and could cost at most."""

    type = serializers.CharField()
    version = serializers.IntegerField()
    steps = PlannedStepSerializer(many=True)
    worst_case_cost_usd_micros = serializers.IntegerField(
        allow_null=True, help_text="null where only the run will tell how many steps there are."
    )
