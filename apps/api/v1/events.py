"""The events of a workflow as Server-Sent Events. A stream holds no thread and no connection while it waits."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import APIException

from agentplatform.llm.caching.serving import pieces
from apps.api.authentication import authenticate
from apps.api.errors import Problem, as_problem, problem_json, read_only
from apps.api.event_hub import Subscription, hub
from apps.api.threads import give_thread_back, in_thread
from apps.database import OUTAGE_ERRORS
from apps.workflows.models import Event, Workflow
from apps.workflows.selectors import EVENTS_LIMIT, ended_status, events_after, kept_words, workflows_of

KEEP_ALIVE_SECONDS = 15.0
RETRY_MILLISECONDS = 2_000


@csrf_exempt
async def workflow_events(
    request: HttpRequest, workflow_id: uuid.UUID
) -> HttpResponse | StreamingHttpResponse:
    """`workflow.status` and `step.status` as they are committed, `token` as models speak, then `done`.

    Last-Event-ID resumes after an event. Tokens have no id: they are gone once sent, and the result has them all. A run
    that was given a kept result begins with the words in which that was once said.
    """
    refused = read_only(request)
    if refused is not None:
        return refused
    try:
        last_event_id = _last_event_id(request)
        workflow = await in_thread(_authorize, request, workflow_id)
    except (APIException, *OUTAGE_ERRORS) as error:
        return problem_json(as_problem(error))
    if request.method == "HEAD":
        return HttpResponse(content_type="text/event-stream")
    words = [] if last_event_id or workflow.cache is None else await in_thread(_words, workflow)
    stream = _stream(workflow_id, last_event_id, words)
    response = StreamingHttpResponse(stream, content_type="text/event-stream")
    response["Cache-Control"] = "no-cache"
    response["X-Accel-Buffering"] = "no"
    return response


async def _stream(workflow_id: uuid.UUID, last_event_id: int, words: Sequence[bytes]) -> AsyncIterator[bytes]:
    give_thread_back()
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    for delta in words:
        yield b"event: token\ndata: %s\n\n" % delta
    subscription = Subscription(last_event_id=last_event_id)
    async with hub.subscribe(str(workflow_id), subscription):
        while True:
            subscription.changed.clear()
            for delta in subscription.take_deltas():
                yield b"event: token\ndata: %s\n\n" % delta
            if subscription.take_news():
                events, ended_in = await in_thread(_news, workflow_id, subscription.last_event_id)
                for event in events:
                    subscription.last_event_id = event.pk
                    yield _encode(event.kind, _data(event), event.pk)
                if len(events) == EVENTS_LIMIT:
                    subscription.has_news = True
                    continue
                if ended_in is not None:
                    yield _encode("done", {"status": ended_in}, subscription.last_event_id)
                    return
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await subscription.changed.wait()
            except TimeoutError:
                yield b": keep-alive\n\n"


def _authorize(request: HttpRequest, workflow_id: uuid.UUID) -> Workflow:
    principal = authenticate(request)
    if principal is None:
        raise Problem(401, "no_api_key", "Send an API key: Authorization: Bearer <key>.")
    if principal.tenant is None:
        raise Problem(403, "tenant_key_needed", "This is an operator's key; use a key of the tenant.")
    workflow = (
        workflows_of(principal.tenant)
        .select_related(None)
        .only("cache", "definition")
        .filter(pk=workflow_id)
        .first()
    )
    if workflow is None:
        raise Problem(404, "not_found", "There is no such workflow, or it is another tenant's.")
    return workflow


def _words(workflow: Workflow) -> Sequence[bytes]:
    """The words of a kept result, as tokens were told of them."""
    key, text = kept_words(workflow)
    return [orjson.dumps({"key": key, "text": piece}) for piece in pieces(text)]


def _news(workflow_id: uuid.UUID, last_event_id: int) -> tuple[Sequence[Event], str | None]:
    """The events after `last_event_id`, and the status in which the run has ended when there are no more to come."""
    ended_in = ended_status(workflow_id)  # asked first: what is committed in between is then among the events
    return events_after(workflow_id, last_event_id), ended_in


def _last_event_id(request: HttpRequest) -> int:
    text = request.headers.get("Last-Event-ID") or request.GET.get("last_event_id") or "0"
    if not text.isdecimal() or len(text) > 18:
        raise Problem(
            400, "invalid_last_event_id", "Last-Event-ID must be the id of an event of this stream."
        )
    return int(text)


def _data(event: Event) -> dict[str, Any]:
    data = {name: value for name, value in event.data.items() if name != "index"}
    index = event.data.get("index")
    if index is not None:
        data["key"] = f"{data['key']}[{index}]"
    return {**data, "at": event.created_at.isoformat()}


def _encode(kind: str, data: dict[str, Any], event_id: int) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event_id, kind.encode(), orjson.dumps(data))
