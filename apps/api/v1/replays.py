"""Replay a workflow from one of its steps, or fork it with a changed input."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.authentication import principal_of
from apps.api.errors import CONTENT_TYPE, FieldError, Problem, json_pointer
from apps.api.openapi import problem
from apps.api.preferences import idempotency_key
from apps.api.serializers import ObjectField, StrictCharField, StrictSerializer
from apps.api.v1.submissions import AcceptedSerializer
from apps.api.v1.workflows import accepted, find_workflow
from apps.workflows.replays import CannotReplay, UnknownStep, workflow_replay
from apps.workflows.services import IdempotencyConflict
from apps.workflows.submissions import InvalidSubmission


class ReplaySerializer(StrictSerializer):
    """Where to begin."""

    from_step = StrictCharField(
        required=False,
        allow_null=True,
        default=None,
        max_length=64,
        help_text="The first step that runs again, with all that depends on it; without one, all do.",
    )


class ForkSerializer(ReplaySerializer):
    """Where to begin, and on what."""

    input = ObjectField(help_text="In place of the first input; what is kept was made on that.")


_RESPONSES = {
    202: AcceptedSerializer,
    (409, CONTENT_TYPE): problem("The workflow has not got the outputs that the step needs."),
    (422, CONTENT_TYPE): problem("There is no such step, or the definition does not take the input."),
}
_IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Yours to choose. For 24 hours a repeat returns the first new workflow.",
)


class WorkflowReplayView(APIView):
    """Run a workflow again from a step on: a new workflow, with the outputs of the steps before it."""

    @extend_schema(
        operation_id="workflows_replay",
        request=ReplaySerializer,
        responses=_RESPONSES,
        parameters=[_IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, workflow_id: uuid.UUID) -> Response:
        serializer = ReplaySerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return _replayed(request, workflow_id, **serializer.validated_data)


class WorkflowForkView(APIView):
    """Run a workflow again with a changed input: a new workflow, from a step on or as a whole."""

    @extend_schema(
        operation_id="workflows_fork",
        request=ForkSerializer,
        responses=_RESPONSES,
        parameters=[_IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, workflow_id: uuid.UUID) -> Response:
        serializer = ForkSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        return _replayed(request, workflow_id, asked["from_step"], workflow_input=asked["input"])


def _replayed(request: Request, workflow_id: uuid.UUID, from_step: str | None, **more: Any) -> Response:
    workflow = find_workflow(request, workflow_id)
    try:
        started = workflow_replay(
            workflow,
            from_step=from_step,
            api_key=principal_of(request).api_key,
            idempotency_key=idempotency_key(request),
            **more,
        )
    except UnknownStep as error:
        raise Problem(
            422, "unknown_step", f"{error}.", errors=[FieldError("/from_step", str(error))]
        ) from error
    except CannotReplay as error:
        raise Problem(409, "cannot_replay", f"The workflow is {workflow.status}: {error}.") from error
    except IdempotencyConflict as error:
        raise Problem(409, "idempotency_key_reused", str(error)) from error
    except InvalidSubmission as error:
        raise Problem(
            422,
            "invalid_input",
            "The definition does not take this input; see errors.",
            errors=[FieldError(json_pointer(*path), detail) for path, detail in error.errors],
        ) from error
    return accepted(request, started)
