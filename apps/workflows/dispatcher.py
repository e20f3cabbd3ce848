"""The dispatcher's loop: woken over Redis after every change, polling as a fallback; one leads, another stands by."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable

import redis
from django.conf import settings
from django.db import connection

from apps.database import OUTAGE_ERRORS, is_conflict, release_connection
from apps.workflows import dispatching
from apps.workflows.heartbeat import heartbeat_remove, heartbeat_write
from apps.workflows.lending import lend_workers
from apps.workflows.wake import DISPATCHER_CHANNEL

POLL_SECONDS = 0.25
LEADERSHIP_SECONDS = 3.0
OUTAGE_GRACE_SECONDS = 15.0
LENDING_SECONDS = 2.0

logger = logging.getLogger(__name__)

_LEAD = """
    INSERT INTO workflows_leadership AS lease (role, holder, expires_at)
    VALUES ('dispatcher', %(holder)s, now() + %(seconds)s * interval '1 second')
    ON CONFLICT (role) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
    WHERE lease.holder = excluded.holder OR lease.expires_at < now()
"""


class Dispatcher:
    """Runs until stopped. Safe beside any number of others: leadership only saves work, nothing depends on it."""

    def __init__(self) -> None:
        self.name = f"dispatcher@{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        self._stopped = threading.Event()
        self._woken = threading.Event()
        self._led_at = 0.0
        self._leads = False
        self._reap_from = time.monotonic() + OUTAGE_GRACE_SECONDS
        self._due: dict[str, float] = {}

    def stop(self) -> None:
        """Ends the loop after its present round."""
        self._stopped.set()
        self._woken.set()

    def run(self) -> None:
        """Rounds, each at a wake-up or after POLL_SECONDS."""
        threading.Thread(target=self._listen, name="wake-ups", daemon=True).start()
        threading.Thread(target=self._lend, name="lending", daemon=True).start()
        while not self._stopped.is_set():
            try:
                self._woken.clear()
                self._round()
            except OUTAGE_ERRORS as error:
                if is_conflict(error):
                    logger.warning("a round was in the way of another transaction; it is made again")
                    continue
                # Workers could not renew their leases either: nothing is taken from them until they had time to.
                self._reap_from = time.monotonic() + OUTAGE_GRACE_SECONDS
                logger.warning("the database does not answer (%s)", type(error).__name__)
                self._stopped.wait(0.5)
            self._woken.wait(POLL_SECONDS if self._leads else 1.0)
        self._step_down()

    def _round(self) -> None:
        if not self._lead():
            return
        self._every(POLL_SECONDS, "timers", dispatching.wake_due)
        self._every(POLL_SECONDS, "held steps", dispatching.wake_held)
        self._every(1.0, "runs of steps", dispatching.wake_parents)
        self._every(5.0, "pauses of runs of steps", dispatching.pause_missed)
        self._every(1.0, "batches", dispatching.wake_batched)
        while dispatching.admit() >= dispatching.ADMIT_LIMIT:
            pass
        self._every(1.0, "lost lanes", dispatching.mark_lost_lanes)
        self._every(1.0, "lanes", dispatching.review_lanes)
        self._every(1.0, "overdue hints", dispatching.hint_overdue)
        self._every(1.0, "deadlines", dispatching.end_overdue_workflows)
        if time.monotonic() >= self._reap_from:
            self._every(1.0, "lost steps", dispatching.recover_lost_steps)
            self._every(5.0, "reservations", dispatching.sweep_reservations)

    def _every(self, seconds: float, what: str, call: Callable[[], object]) -> None:
        now = time.monotonic()
        if now >= self._due.get(what, 0.0):
            self._due[what] = now + seconds
            call()

    def _lead(self) -> bool:
        """Whether this dispatcher leads; the lease is renewed when a third of it has passed."""
        if self._leads and time.monotonic() - self._led_at < LEADERSHIP_SECONDS / 3:
            return True
        try:
            with connection.cursor() as cursor:
                cursor.execute(_LEAD, {"holder": self.name, "seconds": LEADERSHIP_SECONDS})
                leads = cursor.rowcount == 1
        finally:
            release_connection()
        if leads and not self._leads:
            logger.info("%s leads", self.name)
        self._leads = leads
        self._led_at = time.monotonic()
        heartbeat_write(self.name, kind="dispatcher" if leads else "dispatcher-standby")
        return leads

    def _step_down(self) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM workflows_leadership WHERE holder = %s", [self.name])
            heartbeat_remove(self.name)
        except OUTAGE_ERRORS:
            logger.warning("the database does not answer: leadership expires by itself")
        finally:
            release_connection()

    def _lend(self) -> None:
        """Lends workers and takes them back, beside the rounds: admission never waits for the broker here."""
        while not self._stopped.wait(LENDING_SECONDS):
            try:
                if self._leads:
                    lend_workers()
            except OUTAGE_ERRORS as error:
                logger.warning("nothing is lent: the database does not answer (%s)", type(error).__name__)

    def _listen(self) -> None:
        """Sets `_woken` at every wake-up. While Redis is away the poll alone does the work."""
        while not self._stopped.is_set():
            try:
                client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1.0)
                subscription = client.pubsub(ignore_subscribe_messages=True)
                subscription.subscribe(DISPATCHER_CHANNEL)
                while not self._stopped.is_set():
                    if subscription.get_message(timeout=5.0) is not None:
                        self._woken.set()
            except redis.RedisError as error:
                logger.warning("no wake-ups (%s); polling every %.2f s", type(error).__name__, POLL_SECONDS)
                self._stopped.wait(1.0)
