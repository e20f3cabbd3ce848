"""Workflows: submit, list, read."""

from __future__ import annotations

import uuid
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from django.http import Http404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from agentplatform.llm.caching.policy import CacheControl
from agentplatform.workflows.statuses import WorkflowStatus
from apps.api.authentication import principal_of
from apps.api.errors import CONTENT_TYPE, FieldError, Problem, json_pointer
from apps.api.last_known import last_known
from apps.api.openapi import problem
from apps.api.pagination import PAGE_PARAMETERS, KeysetPagination, bad_parameter, page_of, text_parameter
from apps.api.preferences import MAX_WAIT_SECONDS, cache_control, idempotency_key, wait_seconds
from apps.api.v1.submissions import AcceptedSerializer, PlanSerializer, SubmissionSerializer
from apps.api.v1.workflow_serializers import WorkflowSerializer, WorkflowSummarySerializer
from apps.api.waiting import WaitingResponse, WaitingView
from apps.database import OUTAGE_ERRORS, drop_broken_connections, read_within
from apps.knowledge.session_selectors import session_of
from apps.tenants.models import Tenant
from apps.workflows.models import Workflow
from apps.workflows.selectors import asking_for_approval, workflows_of
from apps.workflows.services import (
    IdempotencyConflict,
    StartedWorkflow,
    Submission,
    workflow_plan,
    workflow_start,
)
from apps.workflows.submissions import InvalidSubmission, submission_make

READ_SECONDS = 1.0
"""How long the database has for each read of a workflow."""


def tenant_of(request: Request) -> Tenant:
    """The tenant in whose name the request is made."""
    tenant = principal_of(request).tenant
    assert tenant is not None, "HasTenantScope let an operator's key through"
    return tenant


def find_workflow(request: Request, workflow_id: uuid.UUID) -> Workflow:
    """The tenant's run; Http404 when there is none, or it is another tenant's."""
    workflow = workflows_of(tenant_of(request)).select_related("feedback").filter(pk=workflow_id).first()
    if workflow is None:
        raise Http404
    return workflow


PREFER_WAIT = OpenApiParameter(
    "Prefer",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description=f"`wait=N` (RFC 7240): the answer waits up to N seconds, at most {MAX_WAIT_SECONDS}, for the end of "
    "the workflow. The header `Preference-Applied` says for how long at most it did.",
)


CACHE_CONTROL = OpenApiParameter(
    "Cache-Control",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="`no-cache`: no kept answer is given; what is bought may be kept. `no-store`: nor is anything kept.",
)


class WorkflowsView(WaitingView):
    """Submit a workflow, or list those there are."""

    @extend_schema(
        operation_id="workflows_submit",
        request=SubmissionSerializer,
        responses={
            202: AcceptedSerializer,
            200: OpenApiResponse(
                PolymorphicProxySerializer(
                    "SubmissionResult", [WorkflowSerializer, PlanSerializer], resource_type_field_name=None
                ),
                description="With `Prefer: wait`, the workflow that has ended; with `dry_run`, the plan.",
            ),
            (409, CONTENT_TYPE): problem("The Idempotency-Key was used for another submission."),
            (422, CONTENT_TYPE): problem("The definition does not take the input; see `errors`."),
        },
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                OpenApiTypes.STR,
                OpenApiParameter.HEADER,
                description="Yours to choose. For 24 hours a repeat returns the first workflow.",
            ),
            PREFER_WAIT,
            CACHE_CONTROL,
        ],
    )
    def post(self, request: Request) -> Response:
        serializer = SubmissionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        submission = submission_of(tenant_of(request), serializer.validated_data, cache_control(request))
        if serializer.validated_data["dry_run"]:
            return Response(_plan(submission))
        try:
            started = workflow_start(
                tenant=tenant_of(request),
                submission=submission,
                api_key=principal_of(request).api_key,
                idempotency_key=idempotency_key(request),
            )
        except IdempotencyConflict as error:
            raise Problem(409, "idempotency_key_reused", str(error)) from error
        return _patient(request, accepted(request, started), started.id)

    @extend_schema(
        operation_id="workflows_list",
        responses=page_of(WorkflowSummarySerializer),
        parameters=[
            OpenApiParameter("status", enum=[status.value for status in WorkflowStatus]),
            OpenApiParameter("type", OpenApiTypes.STR),
            OpenApiParameter("session_id", OpenApiTypes.STR, description="Those of one conversation."),
            OpenApiParameter(
                "parent",
                OpenApiTypes.UUID,
                description="Those that steps of this workflow have started; without it, those that were submitted.",
            ),
            OpenApiParameter(
                "schedule", OpenApiTypes.UUID, description="Those that this schedule has started."
            ),
            *PAGE_PARAMETERS,
        ],
    )
    def get(self, request: Request) -> Response:
        workflows = workflows_of(tenant_of(request))
        wanted = text_parameter(request, "status")
        if wanted:
            if wanted not in set(WorkflowStatus):
                known = ", ".join(WorkflowStatus)
                raise bad_parameter("status", f"must be one of: {known}")
            workflows = workflows.filter(status=wanted)
        type_ = text_parameter(request, "type")
        if type_:
            workflows = workflows.filter(definition__type=type_)
        session_id = text_parameter(request, "session_id")
        if session_id:
            workflows = workflows.filter(
                session=session_of(tenant_of(request), session_id) or uuid.UUID(int=0)
            )
        workflows = workflows.filter(parent_id=_id_parameter(request, "parent"))
        waiting_for = text_parameter(request, "waiting_for")
        if waiting_for:
            if waiting_for != "approval":
                raise bad_parameter("waiting_for", "must be: approval")
            workflows = asking_for_approval(workflows, tenant_of(request))
        schedule_id = _id_parameter(request, "schedule")
        if schedule_id is not None:
            workflows = workflows.filter(schedule_id=schedule_id)
        pages = KeysetPagination()
        page = pages.paginate_queryset(workflows, request)
        return pages.get_paginated_response(WorkflowSummarySerializer(page, many=True).data)


def _id_parameter(request: Request, name: str) -> uuid.UUID | None:
    value = text_parameter(request, name)
    try:
        return uuid.UUID(value) if value else None
    except ValueError as error:
        raise bad_parameter(name, "must be an id") from error


class WorkflowView(WaitingView):
    """One workflow, with its result and its steps. While the database is slow: as it was last seen, and says so."""

    @extend_schema(operation_id="workflows_read", responses=WorkflowSerializer, parameters=[PREFER_WAIT])
    def get(self, request: Request, workflow_id: uuid.UUID) -> Response:
        data = WorkflowSerializer(find_workflow(request, workflow_id)).data
        last_known.keep(request, workflow_id, data)
        return _patient(request, Response(data), workflow_id)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self._reading = ExitStack()
        self._reading.enter_context(read_within(READ_SECONDS))
        super().initial(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, OUTAGE_ERRORS) and self.request.method == "GET":
            drop_broken_connections()
            stale = last_known.recall(self.request, self.kwargs["workflow_id"])
            if stale is not None:
                return Response(stale)
        return super().handle_exception(exc)

    def finalize_response(self, *args: Any, **kwargs: Any) -> Response:
        with suppress(*OUTAGE_ERRORS):
            self._reading.close()
        return super().finalize_response(*args, **kwargs)


def submission_of(
    tenant: Tenant, data: dict[str, Any], control: CacheControl = CacheControl.UNSAID
) -> Submission:
    """The submission that validated data ask for in the tenant's name. Raises a 422 Problem."""
    max_cost_usd = data.get("max_cost_usd")
    try:
        return submission_make(
            tenant=tenant,
            type_=data.get("type"),
            workflow_input=data["input"],
            queue=data["priority"],
            deadline_seconds=data.get("deadline_seconds"),
            max_cost_usd_micros=int(max_cost_usd * 1_000_000) if max_cost_usd is not None else None,
            metadata=data.get("metadata"),
            cache_control=control,
            session_id=data.get("session_id"),
        )
    except InvalidSubmission as error:
        raise Problem(
            422,
            "invalid_input",
            "The submission cannot be run as it is; see errors, and GET /api/v1/definitions/ for what each takes.",
            errors=[FieldError(json_pointer(*path), detail) for path, detail in error.errors],
        ) from error


def _plan(submission: Submission) -> Any:
    steps = workflow_plan(submission)
    costs = [step.worst_case_cost_usd_micros for step in steps]
    return PlanSerializer(
        {
            "type": submission.definition.type,
            "version": submission.definition.version,
            "steps": steps,
            "worst_case_cost_usd_micros": None if None in costs else sum(cost or 0 for cost in costs),
        }
    ).data


def accepted(request: Request, started: StartedWorkflow) -> Response:
    """The answer to what has started a run."""
    status_url = request.build_absolute_uri(reverse("workflow", args=[started.id]))
    body = {
        "workflow_id": started.id,
        "status_url": status_url,
        "events_url": request.build_absolute_uri(reverse("workflow-events", args=[started.id])),
    }
    headers = {"Location": status_url}
    if not started.is_new:
        headers["Idempotency-Replayed"] = "true"
    return Response(AcceptedSerializer(body).data, status=status.HTTP_202_ACCEPTED, headers=headers)


def _patient(request: Request, response: Response, workflow_id: uuid.UUID) -> Response:
    """The response, held back for the end of the workflow if the client prefers to wait."""
    seconds = wait_seconds(request)
    if seconds is None:
        return response
    return WaitingResponse(response, workflow_id, seconds, partial(_revise, request, workflow_id))


def _revise(request: Request, workflow_id: uuid.UUID, response: Response) -> bool:
    workflow = find_workflow(request, workflow_id)
    has_ended = workflow.finished_at is not None
    if has_ended or response.status_code == status.HTTP_200_OK:
        response.status_code = status.HTTP_200_OK
        response.data = WorkflowSerializer(workflow).data
    else:
        response.data = {**response.data, "status": workflow.status}
    return has_ended
