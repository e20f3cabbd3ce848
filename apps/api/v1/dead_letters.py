"""Dead letters: list, inspect, requeue, discard. With an operator's key."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agentplatform.execution.dead_letters import FINGERPRINT_CHARACTERS, Reason
from agentplatform.workflows.definition import MAX_DEADLINE_SECONDS
from apps.api.authentication import principal_of
from apps.api.errors import CONTENT_TYPE, FieldError, Problem, json_pointer
from apps.api.openapi import problem
from apps.api.pagination import (
    PAGE_PARAMETERS,
    KeysetPagination,
    bad_parameter,
    limit_parameter,
    page_of,
    text_parameter,
)
from apps.api.permissions import HasOperatorScope
from apps.api.serializers import (
    ObjectField,
    StrictBooleanField,
    StrictCharField,
    StrictIntegerField,
    StrictSerializer,
)
from apps.workflows.dead_letter_selectors import (
    dead_letter_attempts,
    dead_letter_groups,
    dead_letter_payload,
)
from apps.workflows.dead_letters import (
    MAX_LETTERS,
    RequeueOptions,
    SeveralTenants,
    dead_letters_discard,
    dead_letters_requeue,
)
from apps.workflows.letters import DeadLetter
from apps.workflows.operations import Actor
from apps.workflows.submissions import InvalidSubmission

_TEXT_FILTERS = {
    "fingerprint": "fingerprint",
    "type": "type",
    "agent": "agent",
    "error_code": "error_code",
    "reason": "reason",
}
_UUID_FILTERS = {"tenant": "tenant_id", "workflow": "workflow_id"}


class DeadLetterSerializer(serializers.Serializer):
    """A step that gave up."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(DeadLetter.Status.values)
    tenant_id = serializers.UUIDField()
    workflow_id = serializers.UUIDField()
    step_id = serializers.UUIDField()
    type = serializers.CharField()
    key = serializers.CharField()
    agent = serializers.CharField()
    priority = serializers.CharField(source="queue")
    attempt = serializers.IntegerField(help_text="The attempt that was its last.")
    reason = serializers.ChoiceField([reason.value for reason in Reason])
    error_class = serializers.CharField()
    error_code = serializers.CharField()
    error_message = serializers.CharField()
    fingerprint = serializers.CharField()
    created_at = serializers.DateTimeField()
    resolved_at = serializers.DateTimeField(allow_null=True)
    resolution = serializers.CharField(help_text="Why it was discarded.")
    operation_id = serializers.UUIDField(allow_null=True)


class AttemptSerializer(serializers.Serializer):
    """An attempt that did not succeed."""

    attempt = serializers.IntegerField()
    outcome = serializers.CharField()
    error_code = serializers.CharField()
    error_message = serializers.CharField()
    traceback = serializers.CharField(help_text="Frames and the class of the exception; no values.")
    worker = serializers.CharField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField()


class DeadLetterDetailSerializer(DeadLetterSerializer):
    """A step that gave up, with its attempts and what it was given."""

    attempts = serializers.SerializerMethodField()
    payload = serializers.SerializerMethodField()

    @extend_schema_field(AttemptSerializer(many=True))
    def get_attempts(self, letter: DeadLetter) -> Any:
        return AttemptSerializer(dead_letter_attempts(letter), many=True).data

    @extend_schema_field({"type": "object", "nullable": True})
    def get_payload(self, letter: DeadLetter) -> Any:
        """`input`, `options`, `item` and `needs` of the step; null when a requeue has taken it away."""
        return dead_letter_payload(letter)


class DeadLetterGroupSerializer(serializers.Serializer):
    """Letters of one fingerprint."""

    fingerprint = serializers.CharField()
    agent = serializers.CharField()
    error_class = serializers.CharField()
    error_code = serializers.CharField()
    error_message = serializers.CharField(help_text="That of the latest letter.")
    letters = serializers.IntegerField(help_text="How many there have been.")
    open_letters = serializers.IntegerField()
    first_seen_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()


class SelectionSerializer(StrictSerializer):
    """Which letters: these ids, or all that are open under a fingerprint."""

    ids = serializers.ListField(
        child=serializers.UUIDField(), required=False, min_length=1, max_length=MAX_LETTERS
    )
    fingerprint = StrictCharField(required=False, max_length=FINGERPRINT_CHARACTERS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("ids" in attrs) == ("fingerprint" in attrs):
            raise serializers.ValidationError("Give either ids or a fingerprint.")
        return attrs

    @property
    def chosen(self) -> QuerySet[DeadLetter]:
        """The letters, once it is valid."""
        data = self.validated_data
        if "ids" in data:
            return DeadLetter.objects.filter(pk__in=data["ids"])
        return DeadLetter.objects.filter(fingerprint=data["fingerprint"])

    @property
    def asked(self) -> dict[str, Any]:
        """The same, for the record."""
        return {name: self.initial_data[name] for name in ("ids", "fingerprint") if name in self.initial_data}


class RequeueSerializer(SelectionSerializer):
    """A request to go on from steps that gave up."""

    input = ObjectField(required=False)
    rate_per_minute = serializers.FloatField(required=False, min_value=0.01, max_value=100_000)
    deadline_seconds = StrictIntegerField(required=False, min_value=1, max_value=MAX_DEADLINE_SECONDS)
    dry_run = StrictBooleanField(default=False)


class DiscardSerializer(SelectionSerializer):
    """A request to close letters for good."""

    reason = StrictCharField(max_length=500)


class RefusalSerializer(serializers.Serializer):
    """A letter that was not requeued."""

    id = serializers.UUIDField(source="letter_id")
    detail = serializers.CharField()


class RequeueReportSerializer(serializers.Serializer):
    """What came of a requeue, or would in a dry run."""

    matched = serializers.IntegerField(help_text="Open letters, at most 1,000.")
    requeued = serializers.IntegerField()
    refused = RefusalSerializer(many=True)
    input_changes = serializers.JSONField(
        help_text="By workflow, what an edited input changes: [{change, pointer, before, after}]."
    )
    last_starts_in_seconds = serializers.FloatField()
    has_more = serializers.BooleanField(help_text="Send the same request again for the others.")
    operation_id = serializers.UUIDField(allow_null=True, help_text="Its record; null in a dry run.")


class DiscardReportSerializer(serializers.Serializer):
    """What came of a discard."""

    discarded = serializers.IntegerField()
    has_more = serializers.BooleanField(help_text="Send the same request again for the others.")
    operation_id = serializers.UUIDField()


class DeadLettersView(APIView):
    """Steps that gave up, of all tenants, the newest first."""

    permission_classes = [HasOperatorScope]

    @extend_schema(
        operation_id="dead_letters_list",
        responses=page_of(DeadLetterSerializer),
        parameters=[
            OpenApiParameter("status", enum=DeadLetter.Status.values),
            *(OpenApiParameter(name, OpenApiTypes.STR) for name in _TEXT_FILTERS),
            *(OpenApiParameter(name, OpenApiTypes.UUID) for name in _UUID_FILTERS),
            *PAGE_PARAMETERS,
        ],
    )
    def get(self, request: Request) -> Response:
        letters = DeadLetter.objects.all()
        status = text_parameter(request, "status")
        if status is not None:
            if status not in DeadLetter.Status.values:
                raise bad_parameter("status", f"must be one of: {', '.join(DeadLetter.Status.values)}")
            letters = letters.filter(status=status)
        for name, column in _TEXT_FILTERS.items():
            text = text_parameter(request, name)
            if text is not None:
                letters = letters.filter(**{column: text})
        for name, column in _UUID_FILTERS.items():
            text = text_parameter(request, name)
            if text is not None:
                letters = letters.filter(**{column: _uuid(name, text)})
        pages = KeysetPagination()
        page = pages.paginate_queryset(letters, request)
        return pages.get_paginated_response(DeadLetterSerializer(page, many=True).data)


class DeadLetterView(APIView):
    """One dead letter, with every attempt and what the step was given."""

    permission_classes = [HasOperatorScope]

    @extend_schema(operation_id="dead_letters_read", responses=DeadLetterDetailSerializer)
    def get(self, request: Request, letter_id: uuid.UUID) -> Response:
        letter = DeadLetter.objects.filter(pk=letter_id).first()
        if letter is None:
            raise Http404
        return Response(DeadLetterDetailSerializer(letter).data)


class DeadLetterGroupsView(APIView):
    """Dead letters by fingerprint: one line for each kind of failure, that seen last first."""

    permission_classes = [HasOperatorScope]

    @extend_schema(
        operation_id="dead_letters_groups",
        responses=DeadLetterGroupSerializer(many=True),
        parameters=PAGE_PARAMETERS[:1],
    )
    def get(self, request: Request) -> Response:
        groups = dead_letter_groups()[: limit_parameter(request)]
        return Response(DeadLetterGroupSerializer(groups, many=True).data)


class DeadLetterRequeueView(APIView):
    """Go on from steps that gave up; what earlier steps have paid for is kept."""

    permission_classes = [HasOperatorScope]

    @extend_schema(
        operation_id="dead_letters_requeue",
        request=RequeueSerializer,
        responses={
            200: RequeueReportSerializer,
            (422, CONTENT_TYPE): problem("A workflow does not take the edited input; see `errors`."),
        },
    )
    def post(self, request: Request) -> Response:
        serializer = RequeueSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        options = RequeueOptions(data.get("input"), data.get("rate_per_minute"), data.get("deadline_seconds"))
        try:
            report = dead_letters_requeue(
                Actor(api_key=principal_of(request).api_key),
                serializer.chosen,
                options,
                asked=serializer.asked,
                dry_run=data["dry_run"],
            )
        except SeveralTenants as error:
            raise Problem(422, "several_tenants", f"{str(error).capitalize()}.") from error
        except InvalidSubmission as error:
            errors = [FieldError(json_pointer(*path), detail) for path, detail in error.errors]
            detail = "A workflow does not take the edited input; nothing was requeued. See errors."
            raise Problem(422, "invalid_input", detail, errors=errors) from error
        return Response(RequeueReportSerializer(report).data)


class DeadLetterDiscardView(APIView):
    """Close dead letters for good; their workflows stay as they ended."""

    permission_classes = [HasOperatorScope]

    @extend_schema(
        operation_id="dead_letters_discard", request=DiscardSerializer, responses=DiscardReportSerializer
    )
    def post(self, request: Request) -> Response:
        serializer = DiscardSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        action = dead_letters_discard(
            Actor(api_key=principal_of(request).api_key),
            serializer.chosen,
            reason=serializer.validated_data["reason"],
            asked=serializer.asked,
        )
        report = {
            "discarded": action.affected,
            "has_more": action.details["has_more"],
            "operation_id": action.pk,
        }
        return Response(DiscardReportSerializer(report).data)


def _uuid(name: str, text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise bad_parameter(name, "must be a UUID") from None
