"""Micro-batches: what waits together is embedded together, questions first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tokenizers import Encoding

from agentplatform.embedding.model import EmbeddingModel
from agentplatform.embedding.vectors import Purpose, Vector

MAX_BATCH_TOKENS = 256
"""Padded tokens of one run: more save no time and cost memory, and a question waits for the run before it."""
MAX_WAITING_TEXTS = 4_096
FEW_TEXTS = 2


class TooManyWaiting(Exception):
    """More texts wait than will be embedded soon."""


@dataclass(slots=True)
class _Waiting:
    encoding: Encoding
    vector: asyncio.Future[Vector]


class MicroBatcher:
    """Embeds for many callers through one model, on one thread of its own.

    There is no pause to collect a batch: while one runs, the next gathers.
    """

    def __init__(self, model: EmbeddingModel) -> None:
        self._model = model
        self._waiting: dict[Purpose, deque[_Waiting]] = {purpose: deque() for purpose in Purpose}
        self._thread = ThreadPoolExecutor(1, "inference")
        self._running: asyncio.Task[None] | None = None

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[Vector]:
        """A vector for each text, in order. Raises TooManyWaiting."""
        queue = self._waiting[purpose]
        if len(queue) + len(texts) > MAX_WAITING_TEXTS:
            raise TooManyWaiting
        # Of a few texts that takes less than to hand it to another thread.
        encodings = (
            self._model.tokenize(texts)
            if len(texts) <= FEW_TEXTS
            else await asyncio.to_thread(self._model.tokenize, texts)
        )
        loop = asyncio.get_running_loop()
        items = [_Waiting(encoding, loop.create_future()) for encoding in encodings]
        queue.extend(items)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await asyncio.gather(*(item.vector for item in items))

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._next_batch():
            try:
                vectors = await loop.run_in_executor(
                    self._thread, self._model.embed, [item.encoding for item in batch]
                )
            except Exception as error:  # noqa: BLE001 - whatever the runtime raises belongs to who asked
                for item in batch:
                    if not item.vector.done():
                        item.vector.set_exception(error)
                continue
            for item, vector in zip(batch, vectors.tolist(), strict=True):
                if not item.vector.done():
                    item.vector.set_result(vector)

    def _next_batch(self) -> list[_Waiting]:
        for queue in self._waiting.values():
            if batch := _batch_from(queue):
                return batch
        return []


def _batch_from(queue: deque[_Waiting]) -> list[_Waiting]:
    """As many as fit into a run; empty when whoever waited has gone."""
    batch: list[_Waiting] = []
    longest = 0
    while queue:
        if queue[0].vector.cancelled():
            queue.popleft()
            continue
        longest = max(longest, len(queue[0].encoding.ids))
        if batch and longest * (len(batch) + 1) > MAX_BATCH_TOKENS:
            break
        batch.append(queue.popleft())
    return batch
