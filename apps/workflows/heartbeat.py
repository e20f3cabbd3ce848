"""The heartbeat of a worker process: renews its leases in one statement, off the work loop, and watches itself."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
from django.conf import settings
from django.db.models.functions import Now

from agentplatform.execution.running import RunningStep, RunningSteps
from apps.database import OUTAGE_ERRORS, call_function, release_connection
from apps.workflows.models import Heartbeat, Step
from apps.workflows.wake import wake

TICK_SECONDS = 1.0
DEAF_SECONDS = 45.0
STUCK_SECONDS = 30.0
"""For how long attempts that were taken away may hold every slot of a process before it ends itself."""

logger = logging.getLogger(__name__)


LENDABLE = "-lendable"
"""What the name of a Celery node ends with (before its @) whose worker may be lent to another queue."""


def heartbeat_write(
    name: str, *, kind: str, queues: Sequence[str] = (), slots: int = 0, busy: int = 0, **more: Any
) -> None:
    """Writes that this process is alive; `more` are further fields of Heartbeat."""
    try:
        Heartbeat.objects.update_or_create(
            name=name,
            defaults={
                "kind": kind,
                "queues": list(queues),
                "slots": slots,
                "busy": busy,
                "rss_bytes": psutil.Process().memory_info().rss,
                "beat_at": Now(),
                **more,
            },
        )
    finally:
        release_connection()


def heartbeat_remove(name: str) -> None:
    """Writes that this process is gone, so that nothing is admitted to its slots."""
    try:
        Heartbeat.objects.filter(name=name).delete()
    finally:
        release_connection()


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """A worker process: its own name, the Celery node it is controlled under, and what it was started for."""

    name: str
    node: str
    home: tuple[str, ...]
    slots: int

    @property
    def is_lendable(self) -> bool:
        """Whether it may be lent to another queue."""
        return self.node.partition("@")[0].endswith(LENDABLE)


class WorkerHeartbeat:
    """A thread that, every second, breaks off attempts that are no longer this process's to run; every few
    seconds renews the leases of the others; and ends the process when it is deaf or has grown too large.
    """

    def __init__(
        self, identity: WorkerIdentity, *, queues: Callable[[], tuple[str, ...]], running: RunningSteps
    ) -> None:
        self._identity = identity
        self._find_queues = queues
        self._queues: tuple[str, ...] = ()
        self._running = running
        self._stopped = threading.Event()
        self._last_renewal = 0.0
        self._heard_at = time.monotonic()
        self._ended_before = 0
        self._lost_since: dict[tuple[uuid.UUID, int], float] = {}

    def start(self) -> None:
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """Ends the thread and takes the process off the list of live workers."""
        self._stopped.set()
        try:
            heartbeat_remove(self._identity.name)
        except OUTAGE_ERRORS:
            logger.warning("the database does not answer: this worker's last heartbeat expires by itself")

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._tick()
            except OUTAGE_ERRORS as error:
                logger.warning("heartbeat: the database does not answer (%s)", type(error).__name__)
            self._stopped.wait(TICK_SECONDS)

    def _tick(self) -> None:
        among = self._running.snapshot()
        if time.monotonic() - self._last_renewal >= settings.LEASE_RENEWAL_SECONDS:
            first = self._last_renewal == 0.0
            held = _renew(among)
            self._write(self._find_queues(), len(among))
            self._last_renewal = time.monotonic()
            if first:
                wake.dispatcher()
            self._end_if_deaf(len(among))
            self._end_if_large()
        else:
            held = _still_running(among)
        self._running.interrupt_all_but(held, among)
        self._end_if_stuck({(step.step_id, step.attempt) for step in among} - held)
        queues = self._find_queues()
        if queues != self._queues:
            # It has been lent or taken back: admission should not wait to see that.
            self._write(queues, len(among))
            wake.dispatcher()

    def _write(self, queues: tuple[str, ...], busy: int) -> None:
        if self._running.is_draining:
            return
        own = self._identity
        heartbeat_write(
            own.name,
            kind="worker",
            queues=queues,
            slots=max(0, own.slots - len(self._lost_since)),
            busy=busy,
            node=own.node,
            home=list(own.home),
            is_lendable=own.is_lendable,
        )
        self._queues = queues

    def _end_if_stuck(self, lost: set[tuple[uuid.UUID, int]]) -> None:
        """A thread cannot be ended from outside: one that goes on with what was taken from it holds a slot.

        Such slots are not offered any more; when there are no others, the process ends and is started anew.
        """
        now = time.monotonic()
        self._lost_since = {key: self._lost_since.get(key, now) for key in lost}
        if len(lost) >= self._identity.slots and now - max(self._lost_since.values()) > STUCK_SECONDS:
            logger.error(
                "all %d slots are held by attempts that were taken away: restarting", self._identity.slots
            )
            self.stop()
            os._exit(1)

    def _end_if_deaf(self, busy: int) -> None:
        """A consumer that has lost its broker without noticing claims nothing while hints wait: start anew."""
        if self._running.ended != self._ended_before or busy or not self._is_awaited():
            self._ended_before = self._running.ended
            self._heard_at = time.monotonic()
        elif time.monotonic() - self._heard_at > DEAF_SECONDS:
            logger.error("hints wait but none has reached this worker for %d s: restarting", DEAF_SECONDS)
            os.kill(os.getpid(), signal.SIGTERM)

    def _is_awaited(self) -> bool:
        """Whether steps of this worker's queues have been hinted more than once and not claimed."""
        queues = {queue.split(".")[0] for queue in self._queues}
        pools = {queue.partition(".")[2] or "shared" for queue in self._queues}
        try:
            return Step.objects.filter(
                status="dispatched", hints__gt=2, queue__in=queues, tenant__tier__pool__in=pools
            ).exists()
        finally:
            release_connection()

    def _end_if_large(self) -> None:
        """Ends the process, after its steps, once it has run many or grown large; its supervisor starts another."""
        rss_mb = psutil.Process().memory_info().rss / 2**20
        if self._running.ended >= settings.WORKER_MAX_STEPS or rss_mb >= settings.WORKER_MAX_RSS_MB:
            logger.info("recycling after %d steps at %d MB", self._running.ended, rss_mb)
            os.kill(os.getpid(), signal.SIGTERM)


def _renew(steps: Sequence[RunningStep]) -> set[tuple[uuid.UUID, int]]:
    return _call("workflows_renew", steps, settings.LEASE_SECONDS)


def _still_running(steps: Sequence[RunningStep]) -> set[tuple[uuid.UUID, int]]:
    return _call("workflows_still_running", steps)


def _call(function: str, steps: Sequence[RunningStep], *more: float) -> set[tuple[uuid.UUID, int]]:
    if not steps:
        return set()
    arguments = [[step.step_id for step in steps], [step.attempt for step in steps], *more]
    casts = ["uuid[]", "int[]", "float"][: len(arguments)]
    return {(row[0], row[1]) for row in call_function(function, arguments, casts)}
