"""One subscription per web process, fanned out to all who wait for a workflow: streams, and requests for its end.

A wake-up may be lost, so the hub also asks the database, in one statement for all who wait.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import redis.asyncio
from django.conf import settings
from redis.exceptions import RedisError

from apps.api.threads import in_thread
from apps.database import OUTAGE_ERRORS
from apps.workflows.selectors import latest_event_ids
from apps.workflows.wake import ENDED_CHANNEL, EVENTS_CHANNEL, TOKENS_CHANNEL

SWEEP_SECONDS = 5.0
SWEEP_WITHOUT_REDIS_SECONDS = 1.0
MOST_DELTAS = 10_000

logger = logging.getLogger(__name__)


class Subscription:
    """What one request waits for: `changed` is set when there are events to read or deltas to send.

    `last_event_id` is the last event it has read. With `only_end` it is woken when the workflow may have ended.
    """

    def __init__(self, *, last_event_id: int = 0, only_end: bool = False) -> None:
        self.last_event_id = last_event_id
        self.only_end = only_end
        self.changed = asyncio.Event()
        self.has_news = True
        self.deltas: deque[bytes] = deque(maxlen=MOST_DELTAS)

    def wake(self) -> None:
        """There may be events to read."""
        self.has_news = True
        self.changed.set()

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
    """Hands the news of a workflow to those who wait for it. Without Redis, it finds them by asking."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[Subscription]] = defaultdict(set)
        self._tasks: list[asyncio.Task[None]] = []
        self._pubsub: redis.asyncio.client.PubSub | None = None

    @asynccontextmanager
    async def subscribe(self, workflow_id: str, subscription: Subscription) -> AsyncIterator[None]:
        """Wakes the subscription for as long as the block runs."""
        self._start()
        self._waiting[workflow_id].add(subscription)
        try:
            if not subscription.only_end:
                await self._follow_tokens(workflow_id)
            yield
        finally:
            left = self._waiting[workflow_id]
            left.discard(subscription)
            if not left:
                del self._waiting[workflow_id]
            if not subscription.only_end and all(other.only_end for other in left):
                await self._leave_tokens(workflow_id)

    def _start(self) -> None:
        if not self._tasks or any(task.done() for task in self._tasks):
            for task in self._tasks:
                task.cancel()
            self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._sweep())]

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
                logger.warning(
                    "no wake-ups for event streams (%s); they are found by asking", type(error).__name__
                )
            finally:
                self._pubsub = None
            self._wake_all()
            await asyncio.sleep(1.0)

    async def _listen_once(self) -> None:
        client = redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1.0)
        async with client, client.pubsub() as pubsub:
            await pubsub.subscribe(EVENTS_CHANNEL, ENDED_CHANNEL)
            self._pubsub = pubsub
            await self._follow_tokens(*self._streamed())
            while not _is_cancelled():
                message = await pubsub.get_message(timeout=5.0)
                if message is None:
                    continue
                if message["type"] == "message":
                    self._hand_out(message["channel"].decode(), message["data"])
                elif message["type"] == "subscribe" and message["channel"].decode() == ENDED_CHANNEL:
                    self._wake_all()  # what came before this is nobody's to hear

    def _streamed(self) -> list[str]:
        return [key for key, waiting in self._waiting.items() if not all(one.only_end for one in waiting)]

    def _hand_out(self, channel: str, data: bytes) -> None:
        if channel in (EVENTS_CHANNEL, ENDED_CHANNEL):
            for workflow_id in data.decode().split(","):
                for subscription in self._waiting.get(workflow_id, ()):
                    if subscription.only_end == (channel == ENDED_CHANNEL):
                        subscription.wake()
            return
        for subscription in self._waiting.get(channel.removeprefix(TOKENS_CHANNEL), ()):
            if not subscription.only_end:
                subscription.deltas.append(data)
                subscription.changed.set()

    def _wake_all(self) -> None:
        for waiting in self._waiting.values():
            for subscription in waiting:
                subscription.wake()

    async def _sweep(self) -> None:
        """Wakes those for whom the database has more than they have read."""
        while not _is_cancelled():
            await asyncio.sleep(SWEEP_WITHOUT_REDIS_SECONDS if self._pubsub is None else SWEEP_SECONDS)
            if not self._waiting:
                continue
            try:
                latest = await in_thread(latest_event_ids, [uuid.UUID(key) for key in self._waiting])
            except OUTAGE_ERRORS as error:
                logger.warning("event streams wait: the database does not answer (%s)", type(error).__name__)
                continue
            for workflow_id, event_id in latest.items():
                for subscription in self._waiting.get(str(workflow_id), ()):
                    if subscription.last_event_id < event_id:
                        subscription.wake()


def _is_cancelled() -> bool:
    """Whether this task has been cancelled: a library's own timeout may have swallowed the exception that says so."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


hub = EventHub()
"""The hub of this process."""
