"""One subscription per web process, fanned out to the streams that wait for a workflow's events."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio
from django.conf import settings
from redis.exceptions import RedisError

from apps.workflows.wake import EVENTS_CHANNEL

POLL_SECONDS = 1.0

logger = logging.getLogger(__name__)


class EventHub:
    """Sets an asyncio.Event per waiting stream when its workflow has news. Without Redis, streams poll."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None
        self._connected = False

    @asynccontextmanager
    async def subscribe(self, workflow_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever the workflow has news, for as long as the block runs."""
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        changed = asyncio.Event()
        self._waiting[workflow_id].add(changed)
        try:
            yield changed
        finally:
            self._waiting[workflow_id].discard(changed)
            if not self._waiting[workflow_id]:
                del self._waiting[workflow_id]

    def patience_seconds(self, keep_alive_seconds: float) -> float:
        """How long a stream may wait before it looks for itself."""
        return keep_alive_seconds if self._connected else POLL_SECONDS

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (RedisError, OSError) as error:
                logger.warning("no wake-ups for event streams (%s); they poll", type(error).__name__)
            self._connected = False
            self._wake_all()
            await asyncio.sleep(1.0)

    async def _listen_once(self) -> None:
        client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1.0)
        async with client, client.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(EVENTS_CHANNEL)
            self._connected = True
            self._wake_all()
            while True:
                message = await subscription.get_message(timeout=5.0)
                if message is not None:
                    for workflow_id in message["data"].decode().split(","):
                        self._wake(workflow_id)

    def _wake(self, workflow_id: str) -> None:
        for changed in self._waiting.get(workflow_id, ()):
            changed.set()

    def _wake_all(self) -> None:
        for workflow_id in list(self._waiting):
            self._wake(workflow_id)


hub = EventHub()
"""The hub of this process."""
