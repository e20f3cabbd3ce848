"""A session's export: one JSON document, sent part by part. Neither a thread nor a connection waits for its reader."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.api.threads import give_thread_back, in_thread
from apps.api.v1.sessions import SessionSerializer, TurnSerializer, find_session
from apps.database import release_connection
from apps.knowledge.session_selectors import is_there, turns_page


class SessionExportSerializer(SessionSerializer):
    """All that is kept of a conversation."""

    turns = TurnSerializer(many=True)  # type: ignore[assignment]


class ExportBroken(Exception):
    """A session was forgotten while it was read: the rest of the document is never sent."""


class SessionExportView(APIView):
    """All that is kept of a conversation, as a file."""

    @extend_schema(
        operation_id="sessions_export",
        responses=SessionExportSerializer,
        description="Sent part by part, however long the conversation: with the turns that were submitted until now. "
        "Of one that is forgotten meanwhile the rest is not sent, and the answer breaks off without an end.",
    )
    def get(self, request: Request, session_id: str) -> HttpResponseBase:
        session = find_session(request, session_id)
        headers = {
            "Content-Disposition": f'attachment; filename="session-{session.pk}.json"',
            "Content-Type": "application/json",
        }
        if request.method == "HEAD":
            return HttpResponse(headers=headers)
        told = dict(SessionSerializer(session).data)
        # The thread of this request keeps its connection until the last byte is sent, unless it is given back here.
        release_connection()
        return StreamingHttpResponse(_document(session.pk, told, session.last_ordinal), headers=headers)


async def _document(session_id: uuid.UUID, told: Mapping[str, Any], until: int) -> AsyncIterator[bytes]:
    """The document: what is told of the session, and its turns up to an ordinal. Raises ExportBroken."""
    give_thread_back()
    fields = {name: value for name, value in told.items() if name != "turns"}
    yield _json(fields)[:-1] + b',"turns":['
    after, between = 0, b""
    while page := await in_thread(_page, session_id, after, until):
        after, turns = page
        yield between + turns
        between = b","
    if not await in_thread(is_there, session_id):
        raise ExportBroken("The session was forgotten while it was exported.")
    yield b"]}"


def _page(session_id: uuid.UUID, after: int, until: int) -> tuple[int, bytes] | None:
    """The last ordinal of the page after `after`, and its turns as JSON, separated by commas; None after the last."""
    turns = turns_page(session_id, after=after, until=until)
    if not turns:
        return None
    return turns[-1].ordinal, _json(TurnSerializer(turns, many=True).data)[1:-1]


def _json(data: Any) -> bytes:
    return JSONRenderer().render(data)
