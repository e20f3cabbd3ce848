"""Tools: which a tenant's definitions may name, its webhooks as tools, and its MCP servers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agentplatform.agents.extraction_schema import schema_fault
from agentplatform.agents.registry import registry
from agentplatform.agents.tools.toolbox import OfferedTool
from agentplatform.outbound.addresses import MAX_URL_CHARACTERS, AddressRefused, UrlRefused
from apps.api.errors import CONTENT_TYPE, Problem
from apps.api.openapi import problem
from apps.api.pagination import PAGE_PARAMETERS, KeysetPagination, page_of
from apps.api.serializers import ObjectField, StrictBooleanField, StrictCharField, StrictSerializer
from apps.api.v1.workflows import tenant_of
from apps.notifications.resolving import check_url
from apps.tenants.models import Tenant
from apps.tools.models import MAX_TIMEOUT_SECONDS, NAME_PATTERN, McpServer, TenantTool
from apps.tools.selectors import mcp_servers_for, mcp_servers_of, tenant_tools_of, tool_settings
from apps.tools.services import (
    MAX_MCP_SERVERS,
    MAX_TENANT_TOOLS,
    IssuedToolSecret,
    NameTaken,
    TooManyTools,
    mcp_server_create,
    mcp_server_update,
    tenant_tool_create,
    tenant_tool_rotate_secret,
    tenant_tool_update,
)
from apps.tools.source import configured

TAKEN = "There is one of this name already, or as many as there may be."
MAX_TOKEN_CHARACTERS = 4_000


class ToolSerializer(serializers.Serializer):
    """A tool that a definition may name as `name`. Of an MCP server its tools are asked for when a step runs."""

    name = serializers.CharField()
    kind = serializers.ChoiceField(["built_in", "webhook", "mcp_server"])
    description = serializers.CharField()
    input_schema = serializers.JSONField(allow_null=True)
    timeout_seconds = serializers.FloatField()
    cost_usd_micros = serializers.IntegerField(help_text="The price of a call.")
    is_available = serializers.BooleanField()
    unavailable_reason = serializers.CharField(help_text="Empty for one that is available.")


class _CheckedUrlSerializer(StrictSerializer):
    url = StrictCharField(max_length=MAX_URL_CHARACTERS)

    def validate_url(self, url: str) -> str:
        try:
            check_url(url)
        except (UrlRefused, AddressRefused) as error:
            raise serializers.ValidationError(str(error)) from error
        return url


class _SecondsField(serializers.FloatField):
    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0.1, max_value=MAX_TIMEOUT_SECONDS, **options)

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            raise serializers.ValidationError("A number is needed.")
        return super().to_internal_value(data)


class WebhookToolChangeSerializer(_CheckedUrlSerializer):
    """What of a tool is to change. Its name stays: definitions know it by that."""

    url = StrictCharField(required=False, max_length=MAX_URL_CHARACTERS)
    description = StrictCharField(required=False, max_length=1000)
    input_schema = ObjectField(required=False)
    timeout_seconds = _SecondsField(required=False)
    is_idempotent = StrictBooleanField(required=False)
    is_cacheable = StrictBooleanField(required=False)
    is_enabled = StrictBooleanField(required=False)

    def validate_input_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        fault = schema_fault(schema)
        if fault is not None:
            raise serializers.ValidationError(f"At {fault.place}: {fault.message}")
        return schema


class WebhookToolInputSerializer(WebhookToolChangeSerializer):
    """A webhook as a tool. Models call it `webhook__` and its name, definitions `webhook:` and its name."""

    name = serializers.RegexField(NAME_PATTERN, max_length=40)
    url = StrictCharField(max_length=MAX_URL_CHARACTERS)
    description = StrictCharField(max_length=1000)
    input_schema = ObjectField()


class WebhookToolSerializer(serializers.Serializer):
    """A webhook as a tool."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    input_schema = serializers.JSONField()
    url = serializers.CharField()
    timeout_seconds = serializers.FloatField()
    is_idempotent = serializers.BooleanField()
    is_cacheable = serializers.BooleanField()
    is_enabled = serializers.BooleanField()
    cost_usd_micros = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class WebhookToolWithSecretSerializer(WebhookToolSerializer):
    """A tool with a secret just made: it is shown this once."""

    secret = serializers.CharField()


class McpServerChangeSerializer(_CheckedUrlSerializer):
    """What of a server is to change. Its name stays; an empty token takes it away."""

    url = StrictCharField(required=False, max_length=MAX_URL_CHARACTERS)
    token = StrictCharField(required=False, allow_blank=True, max_length=MAX_TOKEN_CHARACTERS)
    allowed_tools = serializers.ListField(
        child=StrictCharField(max_length=64), required=False, max_length=100
    )
    timeout_seconds = _SecondsField(required=False)
    is_enabled = StrictBooleanField(required=False)

    def validate_token(self, token: str) -> str:
        if not token.isascii() or any(character <= " " or character == "\x7f" for character in token):
            raise serializers.ValidationError("A token has no spaces, no line breaks and no other alphabets.")
        return token


class McpServerInputSerializer(McpServerChangeSerializer):
    """An MCP server over streamable HTTP. Definitions name it as `mcp:` and its name."""

    name = serializers.RegexField(NAME_PATTERN, max_length=24)
    url = StrictCharField(max_length=MAX_URL_CHARACTERS)


class McpServerSerializer(serializers.Serializer):
    """An MCP server. Its token is not told."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    url = serializers.CharField()
    has_token = serializers.SerializerMethodField()
    allowed_tools = serializers.ListField(child=serializers.CharField())
    timeout_seconds = serializers.FloatField()
    is_enabled = serializers.BooleanField()
    cost_usd_micros = serializers.IntegerField()
    created_at = serializers.DateTimeField()

    def get_has_token(self, server: McpServer) -> bool:
        return bool(server.token)


def with_secret(issued: IssuedToolSecret) -> dict[str, Any]:
    """A tool with its new secret, as it is answered once."""
    return {**WebhookToolSerializer(issued.tool).data, "secret": issued.plaintext}


class ToolsView(APIView):
    """Every tool that the tenant's definitions may name."""

    @extend_schema(operation_id="tools_list", responses=page_of(ToolSerializer))
    def get(self, request: Request) -> Response:
        found = list(_tools_for(tenant_of(request)))
        return Response({"results": ToolSerializer(found, many=True).data, "next": None})


def _tools_for(tenant: Tenant) -> Iterator[dict[str, Any]]:
    rows = tool_settings()
    for name, tool in sorted(registry.tools.items()):
        found = configured(tool, rows.get(name))
        spec = found.spec if isinstance(found, OfferedTool) else tool.spec
        reason = "" if isinstance(found, OfferedTool) else found.reason
        yield _told(name, "built_in", spec.description, spec.input_schema, spec, reason)
    for row in tenant_tools_of(tenant).order_by("name"):
        reason = "" if row.is_enabled else "It is switched off."
        yield _told(f"webhook:{row.name}", "webhook", row.description, row.input_schema, row, reason)
    servers = {server.name: server for server in mcp_servers_for(tenant).order_by("tenant_id").reverse()}
    for server in sorted(servers.values(), key=lambda one: one.name):
        yield _told(f"mcp:{server.name}", "mcp_server", "Tools of an MCP server.", None, server, "")


def _told(
    name: str, kind: str, description: str, schema: Any, settings: Any, unavailable_reason: str
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "description": description,
        "input_schema": schema,
        "timeout_seconds": settings.timeout_seconds,
        "cost_usd_micros": settings.cost_usd_micros,
        "is_available": not unavailable_reason,
        "unavailable_reason": unavailable_reason,
    }


class WebhookToolsView(APIView):
    """Add a webhook as a tool, or list those there are."""

    @extend_schema(
        operation_id="tools_webhooks_create",
        request=WebhookToolInputSerializer,
        responses={
            201: OpenApiResponse(
                WebhookToolWithSecretSerializer, description="Its secret is shown this once."
            ),
            (409, CONTENT_TYPE): problem(f"{TAKEN} That is {MAX_TENANT_TOOLS}."),
        },
    )
    def post(self, request: Request) -> Response:
        serializer = WebhookToolInputSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            issued = tenant_tool_create(tenant_of(request), serializer.validated_data)
        except (NameTaken, TooManyTools) as error:
            raise _conflict(error) from error
        return Response(with_secret(issued), status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="tools_webhooks_list",
        responses=page_of(WebhookToolSerializer),
        parameters=PAGE_PARAMETERS,
    )
    def get(self, request: Request) -> Response:
        pages = KeysetPagination()
        page = pages.paginate_queryset(tenant_tools_of(tenant_of(request)), request)
        return pages.get_paginated_response(WebhookToolSerializer(page, many=True).data)


class WebhookToolView(APIView):
    """One webhook as a tool."""

    @extend_schema(operation_id="tools_webhooks_read", responses=WebhookToolSerializer)
    def get(self, request: Request, tool_id: uuid.UUID) -> Response:
        return Response(WebhookToolSerializer(_tool(request, tool_id)).data)

    @extend_schema(
        operation_id="tools_webhooks_change",
        request=WebhookToolChangeSerializer,
        responses=WebhookToolSerializer,
    )
    def patch(self, request: Request, tool_id: uuid.UUID) -> Response:
        tool = _tool(request, tool_id)
        serializer = WebhookToolChangeSerializer(data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        try:
            return Response(WebhookToolSerializer(tenant_tool_update(tool, serializer.validated_data)).data)
        except TenantTool.DoesNotExist as error:
            raise Http404 from error

    @extend_schema(operation_id="tools_webhooks_delete", responses={204: None})
    def delete(self, request: Request, tool_id: uuid.UUID) -> Response:
        _tool(request, tool_id).delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


class WebhookToolSecretView(APIView):
    """Give a webhook tool a new secret, which signs from now on."""

    @extend_schema(
        operation_id="tools_webhooks_rotate_secret",
        request=None,
        responses=OpenApiResponse(
            WebhookToolWithSecretSerializer, description="The secret is shown this once."
        ),
    )
    def post(self, request: Request, tool_id: uuid.UUID) -> Response:
        try:
            return Response(with_secret(tenant_tool_rotate_secret(_tool(request, tool_id))))
        except TenantTool.DoesNotExist as error:
            raise Http404 from error


class McpServersView(APIView):
    """Add an MCP server, or list those of the tenant."""

    @extend_schema(
        operation_id="tools_mcp_servers_create",
        request=McpServerInputSerializer,
        responses={
            201: McpServerSerializer,
            (409, CONTENT_TYPE): problem(f"{TAKEN} That is {MAX_MCP_SERVERS}."),
        },
    )
    def post(self, request: Request) -> Response:
        serializer = McpServerInputSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        token = fields.pop("token", "")
        try:
            server = mcp_server_create(tenant_of(request), fields, token=token)
        except (NameTaken, TooManyTools) as error:
            raise _conflict(error) from error
        return Response(McpServerSerializer(server).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="tools_mcp_servers_list",
        responses=page_of(McpServerSerializer),
        parameters=PAGE_PARAMETERS,
    )
    def get(self, request: Request) -> Response:
        pages = KeysetPagination()
        page = pages.paginate_queryset(mcp_servers_of(tenant_of(request)), request)
        return pages.get_paginated_response(McpServerSerializer(page, many=True).data)


class McpServerView(APIView):
    """One MCP server of the tenant."""

    @extend_schema(operation_id="tools_mcp_servers_read", responses=McpServerSerializer)
    def get(self, request: Request, server_id: uuid.UUID) -> Response:
        return Response(McpServerSerializer(_server(request, server_id)).data)

    @extend_schema(
        operation_id="tools_mcp_servers_change",
        request=McpServerChangeSerializer,
        responses=McpServerSerializer,
    )
    def patch(self, request: Request, server_id: uuid.UUID) -> Response:
        server = _server(request, server_id)
        serializer = McpServerChangeSerializer(data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        token = fields.pop("token", None)
        try:
            return Response(McpServerSerializer(mcp_server_update(server, fields, token=token)).data)
        except McpServer.DoesNotExist as error:
            raise Http404 from error

    @extend_schema(operation_id="tools_mcp_servers_delete", responses={204: None})
    def delete(self, request: Request, server_id: uuid.UUID) -> Response:
        _server(request, server_id).delete()
        return Response(status=status.HTTP_204_NO_CONTENT)


def _conflict(error: NameTaken | TooManyTools) -> Problem:
    code = "name_taken" if isinstance(error, NameTaken) else "too_many_tools"
    return Problem(409, code, str(error))


def _tool(request: Request, tool_id: uuid.UUID) -> TenantTool:
    tool = tenant_tools_of(tenant_of(request)).filter(pk=tool_id).first()
    if tool is None:
        raise Http404
    return tool


def _server(request: Request, server_id: uuid.UUID) -> McpServer:
    server = mcp_servers_of(tenant_of(request)).filter(pk=server_id).first()
    if server is None:
        raise Http404
    return server
