"""Signals to workflows, and answers to steps that wait for approval."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.authentication import principal_of
from apps.api.errors import CONTENT_TYPE, Problem
from apps.api.openapi import problem
from apps.api.parsers import kept_exactly
from apps.api.serializers import StrictCharField, StrictSerializer
from apps.api.v1.workflow_serializers import WorkflowSerializer
from apps.api.v1.workflows import find_workflow
from apps.workflows.selectors import steps_of
from apps.workflows.services import AlreadyFinished
from apps.workflows.signals import (
    MAX_KEPT,
    MAX_NAME_CHARACTERS,
    MAX_PAYLOAD_BYTES,
    AlreadyAnswered,
    NotWaiting,
    TooManySignals,
    signal_send,
    step_answer,
)


class AnswerSerializer(StrictSerializer):
    """What goes with an answer."""

    comment = StrictCharField(required=False, default="", allow_blank=True, max_length=2_000)


class SignalSerializer(StrictSerializer):
    """What goes with a signal."""

    payload = serializers.JSONField(required=False, default=None, allow_null=True)

    def validate_payload(self, payload: Any) -> Any:
        payload = kept_exactly(payload, depth=2)
        if len(orjson.dumps(payload)) > MAX_PAYLOAD_BYTES:
            raise serializers.ValidationError(f"At most {MAX_PAYLOAD_BYTES} bytes of JSON; send a reference.")
        return payload


_RESPONSES = {
    200: WorkflowSerializer,
    (409, CONTENT_TYPE): problem("It does not wait for approval, or somebody has answered first."),
}


class StepApproveView(APIView):
    """Approve a step that waits for it; the first answer counts."""

    @extend_schema(operation_id="workflows_step_approve", request=AnswerSerializer, responses=_RESPONSES)
    def post(self, request: Request, workflow_id: uuid.UUID, key: str) -> Response:
        return _answered(request, workflow_id, key, approved=True)


class StepRejectView(APIView):
    """Reject a step that waits for approval; the first answer counts."""

    @extend_schema(operation_id="workflows_step_reject", request=AnswerSerializer, responses=_RESPONSES)
    def post(self, request: Request, workflow_id: uuid.UUID, key: str) -> Response:
        return _answered(request, workflow_id, key, approved=False)


class WorkflowSignalView(APIView):
    """Send a signal to a workflow: to the step that waits for it, or kept for the first that will."""

    @extend_schema(
        operation_id="workflows_signal",
        request=SignalSerializer,
        responses={
            200: WorkflowSerializer,
            (409, CONTENT_TYPE): problem(
                f"The workflow has ended, or {MAX_KEPT:,} signals wait for steps that take them."
            ),
        },
    )
    def post(self, request: Request, workflow_id: uuid.UUID, name: str) -> Response:
        serializer = SignalSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        if len(name) > MAX_NAME_CHARACTERS or "\x00" in name:
            detail = f"A signal's name has 1 to {MAX_NAME_CHARACTERS} characters, and no U+0000."
            raise Problem(400, "invalid_name", detail)
        workflow = find_workflow(request, workflow_id)
        payload = serializer.validated_data["payload"]
        try:
            signal_send(workflow.pk, name=name, payload=payload, sender=_sender(request))
        except AlreadyFinished as error:
            workflow.refresh_from_db(fields=["status"])
            raise Problem(409, "already_finished", f"The workflow is {workflow.status}: {error}.") from error
        except TooManySignals as error:
            raise Problem(409, "too_many_signals", f"{error}.") from error
        return Response(WorkflowSerializer(find_workflow(request, workflow_id)).data)


def _answered(request: Request, workflow_id: uuid.UUID, key: str, *, approved: bool) -> Response:
    serializer = AnswerSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    workflow = find_workflow(request, workflow_id)
    if key not in {step.key for step in steps_of(workflow).only("node", "index")}:
        raise Problem(404, "not_found", f"The workflow has no step '{key}'.")
    comment = serializer.validated_data["comment"]
    try:
        step_answer(workflow.pk, key=key, approved=approved, comment=comment, sender=_sender(request))
    except AlreadyFinished as error:
        raise Problem(409, "already_finished", f"{error}.") from error
    except AlreadyAnswered as error:
        raise Problem(409, "already_answered", f"{error}.") from error
    except NotWaiting as error:
        raise Problem(409, "not_waiting", f"{error}; see GET for what it waits for.") from error
    return Response(WorkflowSerializer(find_workflow(request, workflow_id)).data)


def _sender(request: Request) -> str:
    return f"key {principal_of(request).api_key}"
