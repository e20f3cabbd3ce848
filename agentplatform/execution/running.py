"""The steps that this process runs at the moment: what its heartbeat renews, and how one is broken off."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agentplatform.llm.model import CallContext


@dataclass(frozen=True, slots=True)
class RunningStep:
    """One attempt in progress."""

    step_id: uuid.UUID
    attempt: int
    call: CallContext


class RunningSteps:
    """A thread-safe register of attempts in progress."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: dict[tuple[uuid.UUID, int], RunningStep] = {}
        self._ended = 0
        self._draining = threading.Event()

    @contextmanager
    def hold(self, step: RunningStep) -> Iterator[None]:
        """Registers `step` for as long as the block runs."""
        key = (step.step_id, step.attempt)
        with self._lock:
            self._steps[key] = step
        try:
            yield
        finally:
            with self._lock:
                del self._steps[key]
                self._ended += 1

    def snapshot(self) -> list[RunningStep]:
        """The attempts in progress now."""
        with self._lock:
            return list(self._steps.values())

    def interrupt_all_but(self, held: Collection[tuple[uuid.UUID, int]], among: list[RunningStep]) -> int:
        """Breaks off those of `among` whose lease is no longer held, or whose time is up; returns how many."""
        lost = [
            step
            for step in among
            if (step.step_id, step.attempt) not in held or step.call.deadline.has_passed
        ]
        for step in lost:
            step.call.interrupt()
        return len(lost)

    @property
    def ended(self) -> int:
        """How many attempts have ended in this process."""
        return self._ended

    def drain(self) -> None:
        """From now on no worker goes on to a next step; what runs is finished."""
        self._draining.set()

    @property
    def is_draining(self) -> bool:
        return self._draining.is_set()
