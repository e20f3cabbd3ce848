"""One subscription per web process, fanned out to the streams that wait for a workflow's events."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import redis.asyncio
from django.conf import settings
from redis.exceptions import RedisError

from apps.workflows.wake import EVENTS_CHANNEL, TOKENS_CHANNEL

POLL_SECONDS = 1.0
MOST_DELTAS = 10_000

logger = logging.getLogger(__name__)


class Subscription:
    """What one stream waits for: `changed` is set when there are events to read or deltas to send."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.has_news = True
        self.deltas: deque[bytes] = deque(maxlen=MOST_DELTAS)

    def take_news(self) -> bool:
        """Whether there may be events that have not been read."""
        had_news, self.has_news = self.has_news, False
        return had_news

    def take_deltas(self) -> list[bytes]:
        """The deltas that have not been taken yet, as JSON objects."""
        taken = list(self.deltas)
        self.deltas.clear()
        return taken


class EventHub:
    """Hands the news of a workflow to the streams that wait for it. Without Redis, streams poll."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None
        self._pubsub: redis.asyncio.client.PubSub | None = None

    @asynccontextmanager
    async def subscribe(self, workflow_id: str) -> AsyncIterator[Subscription]:
        """The news of one workflow, for as long as the block runs."""
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        subscription = Subscription()
        self._waiting[workflow_id].add(subscription)
        await self._follow_tokens(workflow_id)
        try:
            yield subscription
        finally:
            self._waiting[workflow_id].discard(subscription)
            if not self._waiting[workflow_id]:
                del self._waiting[workflow_id]
                await self._leave_tokens(workflow_id)

    def patience_seconds(self, keep_alive_seconds: float) -> float:
        """How long a stream may wait before it looks for itself."""
        return keep_alive_seconds if self._pubsub is not None else POLL_SECONDS

    async def _follow_tokens(self, *workflow_ids: str) -> None:
        if self._pubsub is not None and workflow_ids:
            with suppress(RedisError, OSError):
                await self._pubsub.subscribe(*(TOKENS_CHANNEL + workflow_id for workflow_id in workflow_ids))

    async def _leave_tokens(self, workflow_id: str) -> None:
        if self._pubsub is not None:
            with suppress(RedisError, OSError):
                await self._pubsub.unsubscribe(TOKENS_CHANNEL + workflow_id)

    async def _listen(self) -> None:
        while not _is_cancelled():
            try:
                await self._listen_once()
            except (RedisError, OSError) as error:
                logger.warning("no wake-ups for event streams (%s); they poll", type(error).__name__)
            finally:
                self._pubsub = None
            self._wake_all()
            await asyncio.sleep(1.0)

    async def _listen_once(self) -> None:
        client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1.0)
        async with client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(EVENTS_CHANNEL)
            self._pubsub = pubsub
            await self._follow_tokens(*self._waiting)
            self._wake_all()
            while not _is_cancelled():
                message = await pubsub.get_message(timeout=5.0)
                if message is not None:
                    self._hand_out(message["channel"].decode(), message["data"])

    def _hand_out(self, channel: str, data: bytes) -> None:
        if channel == EVENTS_CHANNEL:
            for workflow_id in data.decode().split(","):
                self._wake(workflow_id)
            return
        for subscription in self._waiting.get(channel.removeprefix(TOKENS_CHANNEL), ()):
            subscription.deltas.append(data)
            subscription.changed.set()

    def _wake(self, workflow_id: str) -> None:
        for subscription in self._waiting.get(workflow_id, ()):
            subscription.has_news = True
            subscription.changed.set()

    def _wake_all(self) -> None:
        for workflow_id in list(self._waiting):
            self._wake(workflow_id)


def _is_cancelled() -> bool:
    """Whether this task has been cancelled: a library's own timeout may have swallowed the exception that says so."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


hub = EventHub()
"""The hub of this process."""
