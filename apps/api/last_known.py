"""What a key was last told of a workflow, for when the database does not answer in time.

An answer is kept under the key that it was given to, and is given to no other: nothing has to be looked up to know
that whoever asks may see it, and no tenant can be shown what is another's.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

import orjson
import redis
from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.request import Request

KEPT_SECONDS = 600
MAX_BYTES = 256 * 1024
"""What is larger is not kept."""

ANSWER_SECONDS = 0.2
PAUSE_SECONDS = 5.0
"""For how long a cache that did not answer is left alone."""

logger = logging.getLogger(__name__)


class LastKnown:
    """Answers of this and other web processes, kept in Redis for some minutes. Without Redis, none are."""

    def __init__(self) -> None:
        self._paused_until = 0.0

    def keep(self, request: Request, workflow_id: uuid.UUID, answer: Mapping[str, Any]) -> None:
        """Keeps what the request is answered with."""
        try:
            document = orjson.dumps({"as_of": timezone.now(), "answer": answer}, default=str)
        except TypeError:
            return  # an agent's output may hold an integer of more than 64 bits: that is shown, and not kept
        if len(document) <= MAX_BYTES:
            self._ask("SET", _name(request, workflow_id), document, "EX", KEPT_SECONDS)

    def recall(self, request: Request, workflow_id: uuid.UUID) -> dict[str, Any] | None:
        """What the request's key was last told, with what is to be said of its age; None without it."""
        document = self._ask("GET", _name(request, workflow_id))
        if document is None:
            return None
        kept = orjson.loads(document)
        as_of = parse_datetime(kept["as_of"])
        assert as_of is not None
        age_seconds = max(0, round((timezone.now() - as_of).total_seconds()))
        note = {
            "code": "stale_status",
            "message": f"The database does not answer in time: this is how it stood {age_seconds} s ago.",
        }
        answer = dict(kept["answer"])
        degradations = [*answer["degradations"], note]
        return {**answer, "stale": True, "as_of": kept["as_of"], "degradations": degradations}

    def _ask(self, *command: Any) -> Any:
        if time.monotonic() < self._paused_until:
            return None
        try:
            return _client().execute_command(*command)
        except redis.RedisError as error:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            logger.warning("last answers are neither kept nor found (%s)", type(error).__name__)
            return None


@functools.cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS
    )


def _name(request: Request, workflow_id: uuid.UUID) -> str:
    key = request.headers.get("Authorization", "").partition(" ")[2].strip()
    return f"agentplatform.last_known:{hashlib.sha256(key.encode()).hexdigest()}:{workflow_id}"


last_known = LastKnown()
"""The last answers of this process, and of others."""
