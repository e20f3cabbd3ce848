"""Liveness and readiness."""

from __future__ import annotations

import redis
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from apps.api.errors import read_only
from apps.database import OUTAGE_ERRORS, drop_broken_connections, require_connection
from apps.embedder import embedder
from apps.workflows.selectors import live_processes

DATABASE_SECONDS = 1.0
"""How soon a connection must be had. Whoever asks for readiness does not wait for long."""


@csrf_exempt
def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as this process answers; it asks nothing of the rest."""
    return read_only(request) or JsonResponse({"status": "ok"})


@csrf_exempt
def readyz(request: HttpRequest) -> JsonResponse:
    """503 only without the database; else 200, with what is degraded and what that means."""
    refused = read_only(request)
    if refused is not None:
        return refused
    try:
        require_connection(within_seconds=DATABASE_SECONDS)
        live = live_processes()
    except OUTAGE_ERRORS:
        drop_broken_connections()
        body = {"status": "unavailable", "degraded": ["database: nothing can be read or submitted"]}
        return JsonResponse(body, status=503)
    degraded = []
    if "dispatcher" not in live.kinds:
        degraded.append("dispatcher: submissions are accepted and wait")
    degraded += [f"workers: nobody serves the queue '{queue}'" for queue in live.unserved_queues]
    if not _answers(settings.BROKER_URL):
        degraded.append("broker: submissions are accepted and wait")
    if not _answers(settings.REDIS_URL):
        degraded.append("redis: everything polls, so it is slower")
    if not embedder().answers():
        degraded.append("embedder: passages are found by full text alone")
    return JsonResponse({"status": "degraded" if degraded else "ok", "degraded": degraded})


def _answers(url: str) -> bool:
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=0.5, socket_timeout=0.5)
        with client:
            return bool(client.ping())
    except redis.RedisError:
        return False
