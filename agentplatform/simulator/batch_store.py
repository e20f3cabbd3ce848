"""The batches of one provider, newest last; old ones are archived to keep memory bounded."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

import orjson

from agentplatform.simulator.batch import Batch, BatchItem, new_batch
from agentplatform.simulator.clock import SimulatedClock
from agentplatform.simulator.errors import ApiError, invalid_request
from agentplatform.simulator.identifiers import new_identifier
from agentplatform.simulator.provider_settings import BatchSettings

_logger = logging.getLogger(__name__)
LARGEST_BYTES = 256 * 1024 * 1024
LARGEST_BATCHES = 10_000
_WORKED_OUT_TOGETHER = 10
Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns the message object for a request's parameters; raises ApiError."""
Bill = Callable[[dict[str, Any], date], None]
"""Bills a message object to a day."""


class BatchStore:
    """Batches by id. Answers are worked out in the background, a few at a time, as soon as one is created."""

    def __init__(
        self, clock: SimulatedClock, bill: Bill | None = None, largest_bytes: int = LARGEST_BYTES
    ) -> None:
        self._clock = clock
        self._bill = bill
        self._largest_bytes = largest_bytes
        self._batches: dict[str, Batch] = {}
        self._created = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def create(self, items: Sequence[BatchItem], settings: BatchSettings, answer: Answer) -> Batch:
        """Take a batch and begin to work on it; raises a 429 where too much is being processed already."""
        self._make_room(sum(len(item.params) for item in items))
        self._created += 1
        batch = new_batch(items, self._clock.now(), settings, self._created)
        self._batches[batch.id] = batch
        task = asyncio.get_running_loop().create_task(self._work_out(batch, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return batch

    def find(self, batch_id: str) -> Batch:
        """Return a batch; raises a 404 for an unknown one."""
        batch = self._batches.get(batch_id)
        if batch is None:
            raise ApiError(404, f"Message batch with ID {batch_id!r} not found.")
        return batch

    def ids(self) -> list[str]:
        """Return the ids, newest first."""
        return list(reversed(self._batches))

    def cancel(self, batch_id: str) -> Batch:
        """Begin to cancel; raises a 400 for one that has ended. Twice is as once."""
        batch, now = self.find(batch_id), self._clock.now()
        if batch.status(now) == "ended":
            raise invalid_request(f"Batch {batch_id} cannot be canceled: its processing has ended.")
        if batch.cancel_initiated_at is None:
            batch.cancel_initiated_at = now
        return batch

    def delete(self, batch_id: str) -> None:
        """Forget a batch; raises a 400 while it is processed."""
        if self.find(batch_id).status(self._clock.now()) != "ended":
            raise invalid_request(
                f"Batch {batch_id} cannot be deleted while it is processed: cancel it first."
            )
        self.bill()
        del self._batches[batch_id]

    def bill(self) -> None:
        """Bill the answers of the batches that have ended since the last time, each to the day of its end."""
        now = self._clock.now()
        for batch in self._batches.values():
            if self._bill is None or batch.is_billed or batch.status(now) != "ended":
                continue
            batch.is_billed = True
            for item in batch.items:
                if item.ends_as(batch) == "succeeded":
                    self._bill(orjson.loads(item.answer)["message"], batch.ends_at.date())

    def results(self, batch_id: str) -> Iterator[bytes]:
        """Return the lines of the results; raises a 404 before the end and after archiving."""
        batch = self.find(batch_id)
        if batch.status(self._clock.now()) != "ended":
            raise ApiError(404, f"Batch {batch_id} has no results yet: it is still processed.")
        if batch.archived_at is not None:
            raise ApiError(404, f"Batch {batch_id} is archived; its results are no longer available.")
        return batch.results()

    def as_json(self) -> dict[str, Any]:
        """Return how many batches are in which state, and how the requests of the ended ones ended."""
        now = self._clock.now()
        states, requests = Counter[str](), Counter[str]()
        for batch in self._batches.values():
            shown = batch.as_json(now, "")
            states[shown["processing_status"]] += 1
            requests.update(shown["request_counts"])
        return {"created": self._created, "by_status": states, "requests": requests}

    async def _work_out(self, batch: Batch, answer: Answer) -> None:
        for position, item in enumerate(batch.items):
            result = _result(item, answer)
            item.answered, item.answer = result["type"], orjson.dumps(result)
            batch.size += len(item.answer) - len(item.params)
            item.params = b""
            if position % _WORKED_OUT_TOGETHER == 0:
                await asyncio.sleep(0)
        batch.is_worked_out = True

    def _make_room(self, wanted: int) -> None:
        self.bill()
        now = self._clock.now()
        kept = sum(batch.size for batch in self._batches.values()) + wanted
        for batch in list(self._batches.values()):
            if kept <= self._largest_bytes and len(self._batches) < LARGEST_BATCHES:
                return
            if batch.status(now) != "ended":
                continue
            kept -= batch.size
            batch.archive(now)
            if len(self._batches) >= LARGEST_BATCHES:
                del self._batches[batch.id]
        if kept > self._largest_bytes or len(self._batches) >= LARGEST_BATCHES:
            raise ApiError(429, "Too many batch requests are being processed: wait for batches to end.")


def _result(item: BatchItem, answer: Answer) -> dict[str, Any]:
    try:
        return {"type": "succeeded", "message": answer(orjson.loads(item.params))}
    except ApiError as error:
        answered = error
    except Exception:
        # Whatever a request brings about, the others and their batch go on.
        _logger.exception("a request of a batch could not be answered")
        answered = ApiError(500, "Internal error of the simulator; its log has the traceback.")
    return {"type": "errored", "error": answered.body(new_identifier("req"))}
