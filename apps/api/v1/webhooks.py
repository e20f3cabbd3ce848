"""Webhooks of a tenant: endpoints, their secrets, what was sent to them; and the tenant's notices."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agentplatform.outbound.addresses import MAX_URL_CHARACTERS, AddressRefused, UrlRefused
from apps.api.errors import CONTENT_TYPE, Problem
from apps.api.openapi import problem
from apps.api.pagination import PAGE_PARAMETERS, KeysetPagination, bad_parameter, page_of, text_parameter
from apps.api.serializers import StrictBooleanField, StrictCharField, StrictIntegerField, StrictSerializer
from apps.api.v1.workflows import tenant_of
from apps.notifications.endpoints import (
    DEFAULT_OVERLAP,
    MAX_ENDPOINTS,
    MAX_OVERLAP,
    EndpointOff,
    IssuedSecret,
    NotRedeliverable,
    TooManyEndpoints,
    delivery_redeliver,
    endpoint_create,
    endpoint_delete,
    endpoint_ping,
    endpoint_rotate_secret,
    endpoint_update,
)
from apps.notifications.event_types import EVENT_TYPES
from apps.notifications.models import Delivery, Endpoint, Severity
from apps.notifications.resolving import check_url
from apps.notifications.selectors import deliveries_of, endpoints_of, notices_of, webhook_delivery_of

NOT_REDELIVERABLE = {
    (409, CONTENT_TYPE): problem("It is still under way, or its webhook is disabled or gone.")
}
WEBHOOK_DISABLED = {(409, CONTENT_TYPE): problem("The webhook is disabled.")}


class WebhookInputSerializer(StrictSerializer):
    """A webhook. Without `events` it is sent all there are."""

    url = StrictCharField(max_length=MAX_URL_CHARACTERS)
    description = StrictCharField(required=False, allow_blank=True, max_length=200)
    events = serializers.ListField(
        child=serializers.ChoiceField(list(EVENT_TYPES)), required=False, max_length=len(EVENT_TYPES)
    )

    def validate_url(self, url: str) -> str:
        try:
            check_url(url)
        except (UrlRefused, AddressRefused) as error:
            raise serializers.ValidationError(str(error)) from error
        return url

    def validate_events(self, events: list[str]) -> list[str]:
        return sorted(set(events))


class WebhookChangeSerializer(WebhookInputSerializer):
    """What of a webhook is to change."""

    url = StrictCharField(required=False, max_length=MAX_URL_CHARACTERS)
    is_enabled = StrictBooleanField(required=False)


class RotateSecretSerializer(StrictSerializer):
    """For how long the old secret signs beside the new one."""

    overlap_seconds = StrictIntegerField(
        required=False,
        default=int(DEFAULT_OVERLAP.total_seconds()),
        min_value=0,
        max_value=int(MAX_OVERLAP.total_seconds()),
    )


class WebhookSerializer(serializers.Serializer):
    """A webhook. `failing_since` is the first failure after its last success."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    description = serializers.CharField()
    events = serializers.ListField(child=serializers.CharField())
    is_enabled = serializers.BooleanField()
    disabled_reason = serializers.CharField()
    failing_since = serializers.DateTimeField(allow_null=True)
    previous_secret_expires_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class WebhookWithSecretSerializer(WebhookSerializer):
    """A webhook with a secret just made: it is shown this once."""

    secret = serializers.CharField()


class DeliveryAttemptSerializer(serializers.Serializer):
    """One try. `error_code` is empty when it was delivered."""

    started_at = serializers.DateTimeField()
    duration_seconds = serializers.FloatField()
    status_code = serializers.IntegerField(allow_null=True)
    error_code = serializers.CharField()
    error_message = serializers.CharField()
    response_excerpt = serializers.CharField()


class DeliverySerializer(serializers.Serializer):
    """An event on its way to a webhook. `webhook_id` is its endpoint, `event_id` the same for all endpoints."""

    id = serializers.UUIDField()
    webhook_id = serializers.UUIDField(source="endpoint_id")
    event_type = serializers.CharField()
    event_id = serializers.UUIDField()
    data = serializers.JSONField()  # type: ignore[assignment]
    status = serializers.ChoiceField(Delivery.Status.values)
    reason = serializers.CharField()
    attempts = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    next_attempt_at = serializers.SerializerMethodField()
    finished_at = serializers.DateTimeField(allow_null=True)
    log = DeliveryAttemptSerializer(many=True)

    def get_next_attempt_at(self, delivery: Delivery) -> datetime | None:
        """When it is tried next; null once it has ended."""
        return delivery.next_attempt_at if delivery.status == Delivery.Status.PENDING else None


class NoticeSerializer(serializers.Serializer):
    """Something that the tenant was told."""

    id = serializers.UUIDField()
    code = serializers.CharField()
    severity = serializers.ChoiceField(Severity.values)
    title = serializers.CharField()
    message = serializers.CharField()
    data = serializers.JSONField()  # type: ignore[assignment]
    created_at = serializers.DateTimeField()


def with_secret(issued: IssuedSecret) -> dict[str, Any]:
    """An endpoint with its new secret, as it is answered once."""
    return {**WebhookSerializer(issued.endpoint).data, "secret": issued.plaintext}


class WebhooksView(APIView):
    """Add a webhook, or list those there are."""

    @extend_schema(
        operation_id="webhooks_create",
        request=WebhookInputSerializer,
        responses={
            201: OpenApiResponse(WebhookWithSecretSerializer, description="Its secret is shown this once."),
            (409, CONTENT_TYPE): problem(f"There are {MAX_ENDPOINTS} webhooks already."),
        },
    )
    def post(self, request: Request) -> Response:
        serializer = WebhookInputSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            issued = endpoint_create(tenant=tenant_of(request), **serializer.validated_data)
        except TooManyEndpoints as error:
            raise Problem(409, "too_many_webhooks", str(error)) from error
        return Response(with_secret(issued), status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="webhooks_list", responses=page_of(WebhookSerializer), parameters=PAGE_PARAMETERS
    )
    def get(self, request: Request) -> Response:
        pages = KeysetPagination()
        page = pages.paginate_queryset(endpoints_of(tenant_of(request)), request)
        return pages.get_paginated_response(WebhookSerializer(page, many=True).data)


class WebhookView(APIView):
    """One webhook."""

    @extend_schema(operation_id="webhooks_read", responses=WebhookSerializer)
    def get(self, request: Request, webhook_id: uuid.UUID) -> Response:
        return Response(WebhookSerializer(_find(request, webhook_id)).data)

    @extend_schema(
        operation_id="webhooks_change", request=WebhookChangeSerializer, responses=WebhookSerializer
    )
    def patch(self, request: Request, webhook_id: uuid.UUID) -> Response:
        endpoint = _find(request, webhook_id)
        serializer = WebhookChangeSerializer(data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        try:
            return Response(WebhookSerializer(endpoint_update(endpoint, serializer.validated_data)).data)
        except Endpoint.DoesNotExist as error:
            raise Http404 from error

    @extend_schema(operation_id="webhooks_delete", responses={204: None})
    def delete(self, request: Request, webhook_id: uuid.UUID) -> Response:
        endpoint_delete(_find(request, webhook_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class WebhookSecretView(APIView):
    """Give a webhook a new secret; for some time the old one signs beside it."""

    @extend_schema(
        operation_id="webhooks_rotate_secret",
        request=RotateSecretSerializer,
        responses=OpenApiResponse(WebhookWithSecretSerializer, description="The secret is shown this once."),
    )
    def post(self, request: Request, webhook_id: uuid.UUID) -> Response:
        endpoint = _find(request, webhook_id)
        serializer = RotateSecretSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        overlap = timedelta(seconds=serializer.validated_data["overlap_seconds"])
        try:
            return Response(with_secret(endpoint_rotate_secret(endpoint, overlap=overlap)))
        except Endpoint.DoesNotExist as error:
            raise Http404 from error


class WebhookTestView(APIView):
    """Send the event `ping` to a webhook; its deliveries tell what came of it."""

    @extend_schema(
        operation_id="webhooks_test", request=None, responses={202: DeliverySerializer, **WEBHOOK_DISABLED}
    )
    def post(self, request: Request, webhook_id: uuid.UUID) -> Response:
        try:
            delivery = endpoint_ping(_find(request, webhook_id))
        except EndpointOff as error:
            raise Problem(409, "webhook_disabled", str(error)) from error
        return Response(DeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)


class WebhookDeliveriesView(APIView):
    """What was sent to a webhook, newest first, with every try."""

    @extend_schema(
        operation_id="webhooks_deliveries",
        responses=page_of(DeliverySerializer),
        parameters=[
            OpenApiParameter("status", OpenApiTypes.STR, enum=Delivery.Status.values),
            *PAGE_PARAMETERS,
        ],
    )
    def get(self, request: Request, webhook_id: uuid.UUID) -> Response:
        deliveries = deliveries_of(_find(request, webhook_id))
        wanted = text_parameter(request, "status")
        if wanted is not None:
            if wanted not in Delivery.Status.values:
                raise bad_parameter("status", f"must be one of: {', '.join(Delivery.Status.values)}")
            deliveries = deliveries.filter(status=wanted)
        pages = KeysetPagination()
        page = pages.paginate_queryset(deliveries, request)
        return pages.get_paginated_response(DeliverySerializer(page, many=True).data)


class WebhookRedeliverView(APIView):
    """Have an ended delivery made again."""

    @extend_schema(
        operation_id="webhooks_redeliver",
        request=None,
        responses={202: DeliverySerializer, **NOT_REDELIVERABLE},
    )
    def post(self, request: Request, delivery_id: uuid.UUID) -> Response:
        delivery = webhook_delivery_of(tenant_of(request), delivery_id)
        if delivery is None:
            raise Http404
        try:
            delivery_redeliver(delivery)
        except NotRedeliverable as error:
            raise Problem(409, "not_redeliverable", str(error)) from error
        delivery.refresh_from_db()
        return Response(DeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)


class NoticesView(APIView):
    """What the tenant was told, newest first."""

    @extend_schema(
        operation_id="notices_list", responses=page_of(NoticeSerializer), parameters=PAGE_PARAMETERS
    )
    def get(self, request: Request) -> Response:
        pages = KeysetPagination()
        page = pages.paginate_queryset(notices_of(tenant_of(request)), request)
        return pages.get_paginated_response(NoticeSerializer(page, many=True).data)


def _find(request: Request, webhook_id: uuid.UUID) -> Endpoint:
    endpoint = endpoints_of(tenant_of(request)).filter(pk=webhook_id).first()
    if endpoint is None:
        raise Http404
    return endpoint
