"""Feedback: what a tenant thinks of a workflow's result."""

from __future__ import annotations

import uuid

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.authentication import principal_of
from apps.api.errors import CONTENT_TYPE, Problem
from apps.api.openapi import problem
from apps.api.serializers import StrictCharField, StrictSerializer
from apps.api.v1.workflow_serializers import FeedbackSerializer
from apps.api.v1.workflows import find_workflow
from apps.workflows.models import Feedback
from apps.workflows.services import NotFinished, feedback_give

MAX_COMMENT_CHARACTERS = 2_000


class GivenFeedbackSerializer(StrictSerializer):
    """A verdict on a result."""

    rating = serializers.ChoiceField(Feedback.Rating.values)
    comment = StrictCharField(required=False, default="", allow_blank=True, max_length=MAX_COMMENT_CHARACTERS)


class WorkflowFeedbackView(APIView):
    """Say what you think of a workflow's result; saying it again replaces what you said before."""

    @extend_schema(
        operation_id="workflows_feedback",
        request=GivenFeedbackSerializer,
        responses={
            201: OpenApiResponse(FeedbackSerializer, description="The first feedback on this workflow."),
            200: OpenApiResponse(FeedbackSerializer, description="It replaces the feedback there was."),
            (409, CONTENT_TYPE): problem("The workflow has not ended yet."),
        },
    )
    def post(self, request: Request, workflow_id: uuid.UUID) -> Response:
        serializer = GivenFeedbackSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        workflow = find_workflow(request, workflow_id)
        try:
            feedback, is_first = feedback_give(
                workflow, api_key=principal_of(request).api_key, **serializer.validated_data
            )
        except NotFinished as error:
            raise Problem(409, "not_finished", f"The workflow is {workflow.status}: {error}.") from error
        code = status.HTTP_201_CREATED if is_first else status.HTTP_200_OK
        return Response(FeedbackSerializer(feedback).data, status=code)
