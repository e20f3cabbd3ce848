"""Schedules of a tenant: workflows that start by the clock."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agentplatform.workflows.definition import MAX_DEADLINE_SECONDS
from apps.api.authentication import principal_of
from apps.api.errors import CONTENT_TYPE, FieldError, Problem, json_pointer
from apps.api.openapi import problem
from apps.api.pagination import PAGE_PARAMETERS, KeysetPagination, page_of
from apps.api.preferences import idempotency_key
from apps.api.serializers import (
    ObjectField,
    StrictBooleanField,
    StrictCharField,
    StrictIntegerField,
    StrictSerializer,
    UsdField,
)
from apps.api.v1.submissions import AcceptedSerializer, MetadataField
from apps.api.v1.workflows import accepted, tenant_of
from apps.workflows.models import Schedule
from apps.workflows.schedules import (
    MAX_SCHEDULES,
    InvalidSchedule,
    NameTaken,
    TooManySchedules,
    schedule_create,
    schedule_delete,
    schedule_run,
    schedule_update,
)
from apps.workflows.selectors import schedules_of
from apps.workflows.services import DEFAULT_DEADLINE_SECONDS, IdempotencyConflict
from apps.workflows.submissions import DEFAULT_QUEUE, InvalidSubmission

_INVALID = {(422, CONTENT_TYPE): problem("It never comes, or the definition does not take the input.")}
_TAKEN = {(409, CONTENT_TYPE): problem(f"Its name is taken, or there are {MAX_SCHEDULES} already.")}


class ScheduleChangeSerializer(StrictSerializer):
    """What of a schedule is to change."""

    name = StrictCharField(max_length=100, required=False)
    type = StrictCharField(max_length=64, required=False)
    input = ObjectField(required=False)
    priority = serializers.ChoiceField(list(DEFAULT_DEADLINE_SECONDS), required=False)
    deadline_seconds = StrictIntegerField(
        required=False, allow_null=True, min_value=1, max_value=MAX_DEADLINE_SECONDS
    )
    max_cost_usd = UsdField(required=False, allow_null=True)
    metadata = MetadataField(required=False)
    cron = StrictCharField(
        max_length=200,
        required=False,
        allow_blank=True,
        help_text="Minute, hour, day of the month, month, day of the week: `30 7 * * 1-5`.",
    )
    time_zone = StrictCharField(max_length=64, required=False, help_text="Of `cron`; UTC without it.")
    every_seconds = StrictIntegerField(
        required=False, allow_null=True, min_value=1, help_text="In place of `cron`."
    )
    overlap = serializers.ChoiceField(
        Schedule.Overlap.values,
        required=False,
        help_text="`skip`: none is started while the last one has not ended.",
    )
    starts_at = serializers.DateTimeField(required=False, allow_null=True)
    ends_at = serializers.DateTimeField(required=False, allow_null=True)
    is_enabled = StrictBooleanField(required=False)


class ScheduleInputSerializer(ScheduleChangeSerializer):
    """A schedule: when, and what is submitted then."""

    name = StrictCharField(max_length=100)
    type = StrictCharField(max_length=64)
    input = ObjectField()


class ScheduleSerializer(serializers.Serializer):
    """A schedule, with its next time and what became of the last."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    type = serializers.CharField()
    input = serializers.JSONField()
    priority = serializers.CharField(source="queue_id")
    deadline_seconds = serializers.IntegerField(allow_null=True)
    max_cost_usd_micros = serializers.IntegerField(allow_null=True)
    metadata = serializers.JSONField()
    cron = serializers.CharField()
    time_zone = serializers.CharField()
    every_seconds = serializers.IntegerField(allow_null=True)
    overlap = serializers.ChoiceField(Schedule.Overlap.values)
    starts_at = serializers.DateTimeField(allow_null=True)
    ends_at = serializers.DateTimeField(allow_null=True)
    is_enabled = serializers.BooleanField()
    next_run_at = serializers.DateTimeField(allow_null=True)
    last_run_at = serializers.DateTimeField(allow_null=True)
    last_workflow_id = serializers.UUIDField(allow_null=True)
    last_skipped_at = serializers.DateTimeField(
        allow_null=True, help_text="When one was left out by `overlap`."
    )
    last_error = serializers.CharField(help_text="Why the last one was refused; empty where it was not.")
    created_at = serializers.DateTimeField()


class SchedulesView(APIView):
    """Add a schedule, or list those there are."""

    @extend_schema(
        operation_id="schedules_create",
        request=ScheduleInputSerializer,
        responses={201: ScheduleSerializer, **_TAKEN, **_INVALID},
    )
    def post(self, request: Request) -> Response:
        serializer = ScheduleInputSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        fields = {"queue": DEFAULT_QUEUE, **_fields(serializer.validated_data)}
        tenant, api_key = tenant_of(request), principal_of(request).api_key
        try:
            schedule = schedule_create(tenant=tenant, fields=fields, api_key=api_key)
        except (InvalidSchedule, NameTaken, TooManySchedules) as error:
            raise _problem(error) from error
        return Response(ScheduleSerializer(schedule).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="schedules_list", responses=page_of(ScheduleSerializer), parameters=PAGE_PARAMETERS
    )
    def get(self, request: Request) -> Response:
        pages = KeysetPagination()
        page = pages.paginate_queryset(schedules_of(tenant_of(request)), request)
        return pages.get_paginated_response(ScheduleSerializer(page, many=True).data)


class ScheduleView(APIView):
    """One schedule."""

    @extend_schema(operation_id="schedules_read", responses=ScheduleSerializer)
    def get(self, request: Request, schedule_id: uuid.UUID) -> Response:
        return Response(ScheduleSerializer(_find(request, schedule_id)).data)

    @extend_schema(
        operation_id="schedules_change",
        request=ScheduleChangeSerializer,
        responses={200: ScheduleSerializer, **_TAKEN, **_INVALID},
    )
    def patch(self, request: Request, schedule_id: uuid.UUID) -> Response:
        schedule = _find(request, schedule_id)
        serializer = ScheduleChangeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            return Response(
                ScheduleSerializer(schedule_update(schedule, _fields(serializer.validated_data))).data
            )
        except (InvalidSchedule, NameTaken) as error:
            raise _problem(error) from error
        except Schedule.DoesNotExist as error:
            raise Http404 from error

    @extend_schema(operation_id="schedules_delete", responses={204: None})
    def delete(self, request: Request, schedule_id: uuid.UUID) -> Response:
        schedule_delete(_find(request, schedule_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class ScheduleRunView(APIView):
    """Start a run of a schedule at once; its times stay as they are."""

    @extend_schema(
        operation_id="schedules_run",
        request=None,
        responses={202: AcceptedSerializer, **_INVALID},
        parameters=[OpenApiParameter("Idempotency-Key", OpenApiTypes.STR, OpenApiParameter.HEADER)],
    )
    def post(self, request: Request, schedule_id: uuid.UUID) -> Response:
        try:
            started = schedule_run(_find(request, schedule_id), idempotency_key=idempotency_key(request))
        except InvalidSubmission as error:
            raise _problem(InvalidSchedule(error.errors)) from error
        except Schedule.DoesNotExist as error:
            raise Http404 from error
        except IdempotencyConflict as error:
            raise Problem(409, "idempotency_key_reused", str(error)) from error
        return accepted(request, started)


def _fields(data: dict[str, Any]) -> dict[str, Any]:
    fields = dict(data)
    if "priority" in fields:
        fields["queue"] = fields.pop("priority")
    if "max_cost_usd" in fields:
        cost = fields.pop("max_cost_usd")
        fields["max_cost_usd_micros"] = None if cost is None else int(cost * 1_000_000)
    return fields


def _problem(error: Exception) -> Problem:
    if isinstance(error, InvalidSchedule):
        errors = [FieldError(json_pointer(*path), detail) for path, detail in error.errors]
        return Problem(422, "invalid_schedule", "It cannot be run like this; see errors.", errors=errors)
    code = "name_taken" if isinstance(error, NameTaken) else "too_many_schedules"
    return Problem(409, code, str(error))


def _find(request: Request, schedule_id: uuid.UUID) -> Schedule:
    schedule = schedules_of(tenant_of(request)).filter(pk=schedule_id).first()
    if schedule is None:
        raise Http404
    return schedule
