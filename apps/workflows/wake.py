"""Wake-ups and token deltas over Redis: they only make things sooner. Whoever misses one asks the database."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import orjson
import redis
from django.conf import settings

DISPATCHER_CHANNEL = "agentplatform.dispatcher"
EVENTS_CHANNEL = "agentplatform.events"
ENDED_CHANNEL = "agentplatform.ended"
TOKENS_CHANNEL = "agentplatform.tokens."
"""Followed by a workflow's id: only those who stream it listen."""

_GATHER_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Wake:
    """Publishes wake-ups from a thread of its own, gathered, so that the hot path pays for none of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending_workflows: set[str] = set()
        self._pending_ended: set[str] = set()
        self._pending_text: dict[tuple[str, str], list[str]] = {}
        self._pending_restarts: set[tuple[str, str]] = set()
        self._pending_dispatcher = False
        self._something = threading.Event()
        self._at_once = threading.Event()
        self._thread: threading.Thread | None = None

    def dispatcher(self) -> None:
        """There is something to admit."""
        with self._lock:
            self._pending_dispatcher = True
        self._signal()

    def events(self, workflow_id: str) -> None:
        """A workflow has new events."""
        with self._lock:
            self._pending_workflows.add(workflow_id)
        self._signal()

    def ended(self, workflow_id: str) -> None:
        """A workflow has ended: somebody may wait for that, so it is told without gathering."""
        with self._lock:
            self._pending_workflows.add(workflow_id)
            self._pending_ended.add(workflow_id)
        self._at_once.set()
        self._signal()

    def text(self, workflow_id: str, key: str, delta: str) -> None:
        """A model has answered `delta` more, in the step called `key`."""
        with self._lock:
            self._pending_text.setdefault((workflow_id, key), []).append(delta)
        self._signal()

    def restart_text(self, workflow_id: str, key: str) -> None:
        """What models have answered in the step called `key` is void."""
        with self._lock:
            self._pending_text[(workflow_id, key)] = []
            self._pending_restarts.add((workflow_id, key))
        self._signal()

    def _signal(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="wake", daemon=True)
                    self._thread.start()
        if not self._something.is_set():
            self._something.set()

    def _run(self) -> None:
        client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1.0, socket_connect_timeout=1.0)
        pause = 0.0
        while True:
            self._something.wait()
            self._something.clear()
            self._at_once.clear()
            with self._lock:
                ended, self._pending_ended = self._pending_ended, set()
                workflows, self._pending_workflows = self._pending_workflows, set()
                dispatcher, self._pending_dispatcher = self._pending_dispatcher, False
                texts, self._pending_text = self._pending_text, {}
                restarts, self._pending_restarts = self._pending_restarts, set()
            try:
                pipeline = client.pipeline(transaction=False)
                if dispatcher:
                    pipeline.publish(DISPATCHER_CHANNEL, "")
                for (workflow_id, key), deltas in texts.items():
                    told: dict[str, Any] = {"key": key, "text": "".join(deltas)}
                    if (workflow_id, key) in restarts:
                        told["restarts"] = True
                    pipeline.publish(TOKENS_CHANNEL + workflow_id, orjson.dumps(told))
                if workflows:
                    pipeline.publish(EVENTS_CHANNEL, ",".join(workflows))
                if ended:
                    pipeline.publish(ENDED_CHANNEL, ",".join(ended))
                pipeline.execute()
                pause = 0.0
                self._at_once.wait(_GATHER_SECONDS)
            except redis.RedisError as error:
                logger.warning("wake-ups are not sent (%s); everything polls meanwhile", type(error).__name__)
                pause = min(_LONGEST_PAUSE_SECONDS, max(0.1, pause * 2))
                time.sleep(pause)


wake = Wake()
"""The wake-ups of this process."""
