"""Sessions: what was said in a tenant's conversations, to list, read and forget."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.authentication import principal_of
from apps.api.pagination import PAGE_PARAMETERS, KeysetPagination, bad_parameter, limit_parameter, page_of
from apps.api.v1.workflows import tenant_of
from apps.knowledge.models import Session, Turn
from apps.knowledge.session_selectors import session_of, session_sizes
from apps.workflows.operations import Actor
from apps.workflows.session_forgetting import session_forget

MAX_ORDINAL = 2_147_483_647
LIMIT, _ = PAGE_PARAMETERS
AFTER = OpenApiParameter(
    "after", OpenApiTypes.INT, description="The turns after this ordinal; from the first on without it."
)


class SessionSummarySerializer(serializers.Serializer):
    """A conversation, in a list."""

    session_id = serializers.CharField(source="external_id", help_text="Your own id of it.")
    turns = serializers.IntegerField(source="size.turns", help_text="What was said and what was answered.")
    summarised_turns = serializers.IntegerField(
        source="size.summarised_turns", help_text="How many of them the summary stands for."
    )
    tokens = serializers.IntegerField(source="size.tokens", help_text="About how many all turns are.")
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(help_text="When something was last said in it.")
    expires_at = serializers.DateTimeField(
        source="size.expires_at", help_text="When it is forgotten if nothing more is said in it."
    )


class SessionSerializer(SessionSummarySerializer):
    """A conversation."""

    summary = serializers.CharField(
        allow_blank=True, help_text="Of its older turns; empty while there is none."
    )


class TurnSerializer(serializers.Serializer):
    """What was said once."""

    ordinal = serializers.IntegerField(
        help_text="Two for every submission: odd for what it says, even for what answers it."
    )
    role = serializers.ChoiceField(Turn.Role.values)
    text = serializers.CharField()
    workflow_id = serializers.UUIDField()
    created_at = serializers.DateTimeField()


class SessionsView(APIView):
    """The conversations there are, those begun last first."""

    @extend_schema(
        operation_id="sessions_list",
        responses=page_of(SessionSummarySerializer),
        parameters=PAGE_PARAMETERS,
    )
    def get(self, request: Request) -> Response:
        pages = KeysetPagination()
        sessions = Session.objects.of(tenant_of(request)).defer("summary")
        page = _sized(pages.paginate_queryset(sessions, request) or [])
        return pages.get_paginated_response(SessionSummarySerializer(page, many=True).data)


class SessionView(APIView):
    """One conversation."""

    @extend_schema(operation_id="sessions_read", responses=SessionSerializer)
    def get(self, request: Request, session_id: str) -> Response:
        return Response(SessionSerializer(find_session(request, session_id)).data)

    @extend_schema(
        operation_id="sessions_forget",
        responses={204: None},
        description="Forgets it: its turns, their vectors and its summary are deleted, its runs that have not ended are "
        "cancelled, inputs, outputs and results are taken out of all its runs, and no kept answer of theirs is given "
        "again. That they ran, and what they cost, stays. One that is not there is forgotten already.",
    )
    def delete(self, request: Request, session_id: str) -> Response:
        session = session_of(tenant_of(request), session_id)
        if session is not None:
            session_forget(session, actor=Actor(api_key=principal_of(request).api_key))
        return Response(status=status.HTTP_204_NO_CONTENT)


class SessionTurnsView(APIView):
    """What was said in a conversation, in the order in which it was submitted."""

    @extend_schema(
        operation_id="sessions_turns", responses=page_of(TurnSerializer), parameters=[LIMIT, AFTER]
    )
    def get(self, request: Request, session_id: str) -> Response:
        session = find_session(request, session_id)
        limit, after = limit_parameter(request), _after(request)
        rows = list(_turns(session).filter(ordinal__gt=after)[: limit + 1])
        following = None
        if len(rows) > limit:
            following = request.build_absolute_uri(
                f"{request.path}?limit={limit}&after={rows[limit - 1].ordinal}"
            )
        return Response({"results": TurnSerializer(rows[:limit], many=True).data, "next": following})


def find_session(request: Request, session_id: str) -> Session:
    """The session of the request's tenant, with its `size`. Raises Http404."""
    session = session_of(tenant_of(request), session_id)
    if session is None:
        raise Http404
    return _sized([session])[0]


def _sized(sessions: list[Session]) -> list[Session]:
    sizes = session_sizes([session.pk for session in sessions])
    for session in sessions:
        session.size = sizes[session.pk]  # type: ignore[attr-defined]
    return sessions


def _turns(session: Session) -> Any:
    return session.turns.defer("vector").order_by("ordinal")


def _after(request: Request) -> int:
    text = request.query_params.get("after", "0")
    if not text.isdecimal() or len(text) > 10 or int(text) > MAX_ORDINAL:
        raise bad_parameter("after", f"must be a whole number from 0 to {MAX_ORDINAL}")
    return int(text)
