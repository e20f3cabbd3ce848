"""Cancel, pause and resume a workflow."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.errors import CONTENT_TYPE, Problem
from apps.api.openapi import problem
from apps.api.v1.workflow_serializers import WorkflowSerializer
from apps.api.v1.workflows import find_workflow
from apps.workflows.services import (
    AlreadyFinished,
    NotPaused,
    workflow_cancel,
    workflow_pause,
    workflow_resume,
)

_ENDED = {(409, CONTENT_TYPE): problem("The workflow has ended already.")}


class WorkflowCancelView(APIView):
    """Cancel a workflow: it ends at once, and calls in flight are broken off and paid for."""

    @extend_schema(
        operation_id="workflows_cancel", request=None, responses={200: WorkflowSerializer, **_ENDED}
    )
    def post(self, request: Request, workflow_id: uuid.UUID) -> Response:
        return _changed(request, workflow_id, workflow_cancel)


class WorkflowPauseView(APIView):
    """Pause a workflow: no further step starts, those that run end, its deadline goes on. Again: nothing changes."""

    @extend_schema(
        operation_id="workflows_pause", request=None, responses={200: WorkflowSerializer, **_ENDED}
    )
    def post(self, request: Request, workflow_id: uuid.UUID) -> Response:
        return _changed(request, workflow_id, workflow_pause)


class WorkflowResumeView(APIView):
    """Resume a paused workflow: it goes on where it stood. One that is running is left as it is."""

    @extend_schema(
        operation_id="workflows_resume",
        request=None,
        responses={
            200: WorkflowSerializer,
            (409, CONTENT_TYPE): problem(
                "The workflow has ended already, is held for budget, or runs within a paused one."
            ),
        },
    )
    def post(self, request: Request, workflow_id: uuid.UUID) -> Response:
        return _changed(request, workflow_id, workflow_resume)


def _changed(request: Request, workflow_id: uuid.UUID, change: Callable[[uuid.UUID], object]) -> Response:
    workflow = find_workflow(request, workflow_id)
    try:
        change(workflow.pk)
    except (AlreadyFinished, NotPaused) as error:
        workflow.refresh_from_db(fields=["status"])
        code = "already_finished" if isinstance(error, AlreadyFinished) else "not_paused"
        raise Problem(409, code, f"The workflow is {workflow.status}: {error}.") from error
    return Response(WorkflowSerializer(find_workflow(request, workflow_id)).data)
