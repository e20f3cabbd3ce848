"""Circuits of providers and of tools, for operators: how they stand, opened and reset by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agentplatform.execution.circuit import Phase
from apps.api.authentication import principal_of
from apps.api.errors import Problem
from apps.api.permissions import HasOperatorScope
from apps.api.serializers import StrictCharField, StrictIntegerField, StrictSerializer
from apps.gateway.circuits import (
    MAX_OPEN_SECONDS,
    CircuitsAway,
    CircuitState,
    ToolCircuitState,
    circuit_open,
    circuit_reset,
    circuit_state,
    circuit_states,
    tool_circuit_state,
    tool_circuit_states,
)
from apps.tools.selectors import circuit_owners
from apps.workflows.operations import Actor, action_record

CIRCUIT_CHARACTERS = 200

PLACE = [
    OpenApiParameter("provider", OpenApiTypes.STR, OpenApiParameter.PATH),
    OpenApiParameter("model", OpenApiTypes.STR, OpenApiParameter.PATH, description="As its tier calls it."),
]


class CircuitSerializer(serializers.Serializer):
    """How the circuit of a model at a provider stands."""

    provider = serializers.CharField()
    model = serializers.CharField()
    is_enabled = serializers.BooleanField(help_text="Whether the provider is.")
    state = serializers.ChoiceField(
        [phase.value for phase in Phase],
        source="phase",
        help_text="closed lets calls pass, open none, half_open a single probe.",
    )
    open_until = serializers.DateTimeField(allow_null=True, help_text="null for a closed one.")
    recent_failures = serializers.IntegerField(help_text="Those that count towards opening it.")
    trips_last_day = serializers.IntegerField()
    last_tripped_at = serializers.DateTimeField(allow_null=True, help_text="In the last day.")


class ToolCircuitSerializer(serializers.Serializer):
    """How the circuit of a tool stands that has opened in the last day."""

    circuit = serializers.CharField(
        source="key", help_text="`tool/webhook/` or `tool/mcp/` and an id, or `tool/`, a tool and a host."
    )
    tool = serializers.CharField(help_text="As definitions name it; empty where it is gone.")
    tenant_id = serializers.UUIDField(allow_null=True, help_text="Whose it is; null for everybody's.")
    state = serializers.ChoiceField([phase.value for phase in Phase], source="phase")
    open_until = serializers.DateTimeField(allow_null=True, help_text="null for a closed one.")
    recent_failures = serializers.IntegerField(help_text="Those that count towards opening it.")
    trips_last_day = serializers.IntegerField()
    last_tripped_at = serializers.DateTimeField()


class ToolCircuitResetSerializer(StrictSerializer):
    """Which circuit of a tool."""

    circuit = StrictCharField(max_length=CIRCUIT_CHARACTERS)


class CircuitOpenSerializer(StrictSerializer):
    """For how long no call is let through, and why."""

    open_seconds = StrictIntegerField(min_value=1, max_value=int(MAX_OPEN_SECONDS))
    reason = StrictCharField(required=False, default="", max_length=200, allow_blank=True)


class CircuitsView(APIView):
    """Every model at every provider that serves it, by provider; and the tools whose circuits have opened in a day."""

    permission_classes = [HasOperatorScope]

    @extend_schema(
        operation_id="circuits_list",
        responses=inline_serializer(
            "Circuits", {"results": CircuitSerializer(many=True), "tools": ToolCircuitSerializer(many=True)}
        ),
    )
    def get(self, request: Request) -> Response:
        with _told():
            states, of_tools = circuit_states(), tool_circuit_states()
        results = CircuitSerializer(states, many=True).data
        return Response({"results": results, "tools": _tools(of_tools)})


class CircuitOpenView(APIView):
    """Opens a circuit: calls go to the tier's next provider, or wait. One that is open for longer stays so."""

    permission_classes = [HasOperatorScope]

    @extend_schema(
        operation_id="circuits_open",
        parameters=PLACE,
        request=CircuitOpenSerializer,
        responses=CircuitSerializer,
    )
    def post(self, request: Request, provider: str, model: str) -> Response:
        serializer = CircuitOpenSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        actor = Actor(api_key=principal_of(request).api_key)
        with _told():
            state = _found(provider, model)
            circuit_open(state.key, serializer.validated_data["open_seconds"], by=str(actor))
            action_record(actor, "circuits.open", {"circuit": state.key, **serializer.validated_data})
            return _shown(provider, model)


class CircuitResetView(APIView):
    """Closes a circuit and forgets its failures."""

    permission_classes = [HasOperatorScope]

    @extend_schema(operation_id="circuits_reset", parameters=PLACE, request=None, responses=CircuitSerializer)
    def post(self, request: Request, provider: str, model: str) -> Response:
        with _told():
            state = _found(provider, model)
            circuit_reset(state.key)
            details: dict[str, Any] = {"circuit": state.key, "state": state.phase.value}
            action_record(Actor(api_key=principal_of(request).api_key), "circuits.reset", details)
            return _shown(provider, model)


class ToolCircuitResetView(APIView):
    """Closes the circuit of a tool and forgets its failures."""

    permission_classes = [HasOperatorScope]

    @extend_schema(
        operation_id="circuits_reset_tool",
        request=ToolCircuitResetSerializer,
        responses=ToolCircuitSerializer,
    )
    def post(self, request: Request) -> Response:
        serializer = ToolCircuitResetSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        key = serializer.validated_data["circuit"]
        with _told():
            state = _found_of_tool(key)
            circuit_reset(key)
            details: dict[str, Any] = {"circuit": key, "state": state.phase.value}
            action_record(Actor(api_key=principal_of(request).api_key), "circuits.reset", details)
            return Response(_tools([_found_of_tool(key)])[0])


def _tools(states: Sequence[ToolCircuitState]) -> Any:
    owners = circuit_owners([state.key for state in states])
    told = [
        {name: getattr(state, name) for name in ToolCircuitState.__slots__}
        | dict(zip(("tool", "tenant_id"), owners[state.key], strict=True))
        for state in states
    ]
    return ToolCircuitSerializer(told, many=True).data


def _found_of_tool(key: str) -> ToolCircuitState:
    state = tool_circuit_state(key)
    if state is None:
        raise Http404
    return state


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except CircuitsAway as error:
        raise Problem(503, "circuits_unavailable", str(error)) from error


def _found(provider: str, model: str) -> CircuitState:
    state = circuit_state(provider, model)
    if state is None:
        raise Http404
    return state


def _shown(provider: str, model: str) -> Response:
    return Response(CircuitSerializer(_found(provider, model)).data)
