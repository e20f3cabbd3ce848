"""Load while things break, and what is asked of the database when the storm is over."""

from __future__ import annotations

import itertools
import random
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx2

from tests.product import LONG, Product, broken_invariants, eventually

WORK: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ten_noops", {}),
    ("three_asks", {"calls": 2}),
    ("fan_out", {"count": 4}),
    ("one_ask", {"calls": 3}),
    ("fails_once", {}),
    ("bounded", {"items": list(range(8))}),
    ("loop", {}),
    ("adding", {"add": 2}),
    ("outer", {"output": {"count": 3}}),
    ("outer_asking", {"items": [1, 2]}),
    ("converse", {"message": "The lighthouse is red. What colour is the lighthouse?"}),
)
# A step of the batch queue waits for half a minute and more before it is tried again.
PRIORITIES = ("interactive", "standard", "batch") if LONG else ("interactive", "standard")
RECOVERY_SECONDS = 20.0

_UNFINISHED_STEPS = """
    SELECT s.queue_id, s.node, s.status, s.waiting_for, s.attempt, s.run_at - now(), s.lease_expires_at - now()
    FROM workflows_step s JOIN workflows_workflow w ON w.id = s.workflow_id
    WHERE w.finished_at IS NULL AND s.status IN ('ready', 'dispatched', 'running', 'waiting') LIMIT 20"""


class Load(threading.Thread):
    """Submits workflows of all kinds, one every `pause_seconds`, each until it is accepted, once."""

    def __init__(self, product: Product, pause_seconds: float) -> None:
        super().__init__(daemon=True)
        self._product = product
        self._pause_seconds = pause_seconds
        self._stopped = threading.Event()
        self.accepted: list[str] = []
        self.refused: list[str] = []

    def run(self) -> None:
        work = itertools.cycle(itertools.product(WORK, PRIORITIES))
        with httpx2.Client(base_url=self._product.stack.base_url, timeout=15) as http:
            http.headers["Authorization"] = f"Bearer {self._product.key}"
            while not self._stopped.wait(self._pause_seconds):
                (type_, workflow_input), priority = next(work)
                body = {"type": type_, "input": workflow_input, "priority": priority}
                self._submit(http, body | ({"session_id": "storm"} if type_ == "converse" else {}))

    def _submit(self, http: httpx2.Client, body: dict[str, Any]) -> None:
        key = str(uuid.uuid4())
        while True:
            try:
                response = http.post("/api/v1/workflows/", json=body, headers={"Idempotency-Key": key})
            except httpx2.TransportError:
                time.sleep(0.2)
                continue
            if response.status_code in (200, 202):
                self.accepted.append(response.json()["workflow_id"])
                return
            if response.status_code != 503:
                self.refused.append(f"{response.status_code} {response.text[:200]}")
                return
            time.sleep(0.5)

    def stop(self) -> None:
        """Returns when the last submission has been accepted."""
        self._stopped.set()
        self.join(60)
        assert not self.is_alive(), "a submission is still not accepted"


class Storm:
    """Faults against a product under load. `seed` makes the order of the faults the same again."""

    def __init__(self, product: Product, seed: int) -> None:
        self.product = product
        self.random = random.Random(seed)
        self.lost: list[tuple[str, datetime, uuid.UUID, int]] = []
        self.kills: dict[str, list[datetime]] = {}
        self.killed: set[int] = set()

    def kill_worker(self, name: str) -> None:
        """SIGKILL, with a note of what it was running."""
        pid = self.product.stack.pid(name)
        rows = self.product.query(
            "SELECT now(), id, attempt FROM workflows_step WHERE status = 'running' AND worker LIKE %s",
            f"%:{pid}:%",
        )
        self.product.stack.kill(name, signal.SIGKILL)
        self.lost += [(name, *row) for row in rows]
        self.kills.setdefault(name, []).extend(self.product.query("SELECT now()")[0])
        self.killed.add(pid)

    def recovery_seconds(self) -> list[float]:
        """For each attempt that was killed: how long until the next one of its step started.

        Counted from the last time that the queue's worker was killed before: until then nobody could start it.
        """
        found = []
        for name, _, step_id, attempt in self.lost:
            starts = self.product.query(
                """
                SELECT started_at FROM workflows_stepattempt WHERE step_id = %(step)s AND attempt = %(next)s
                UNION ALL
                SELECT started_at FROM workflows_step WHERE id = %(step)s AND attempt = %(next)s""",
                {"step": step_id, "next": attempt + 1},
            )
            # Without a next attempt, the worker had finished this one just before it was killed.
            for (started_at,) in starts[:1]:
                last_kill = max(killed_at for killed_at in self.kills[name] if killed_at < started_at)
                found.append((started_at - last_kill).total_seconds())
        return found


@contextmanager
def storm(product: Product, seed: int, *, pause_seconds: float = 0.3) -> Iterator[Storm]:
    """Load before, during and after the block's faults; then nothing may be lost, doubled or bought twice."""
    # Calls of over half a second, so that there is something in flight to be broken.
    product.fault(delay_seconds=0.6, count=1_000_000)
    load = Load(product, pause_seconds)
    load.start()
    time.sleep(2)
    raging = Storm(product, seed)
    try:
        yield raging
        time.sleep(2)
    finally:
        load.stop()
    assert load.refused == []
    everything_ended(product, load.accepted)
    broken = broken_invariants(product)
    assert broken == {}, broken
    slowest = max(raging.recovery_seconds(), default=0.0)
    assert slowest <= RECOVERY_SECONDS, f"an attempt was taken up again only after {slowest:.1f} s"


def everything_ended(product: Product, accepted: list[str], seconds: float = 420) -> None:
    """Every accepted workflow is there and ends, and fails only where workers were killed under one of its steps, or within."""
    unfinished = "SELECT count(*) FROM workflows_workflow WHERE finished_at IS NULL"
    try:
        eventually(lambda: product.query(unfinished) == [(0,)], seconds, "workflows do not end")
    except AssertionError as error:
        raise AssertionError(f"{error}: {product.query(_UNFINISHED_STEPS)}") from None
    ended = product.query(
        "SELECT count(*) FROM workflows_workflow WHERE id = ANY(%s::uuid[]) AND finished_at IS NOT NULL",
        accepted,
    )
    assert ended == [(len(set(accepted)),)], "accepted workflows are not there"
    unexplained = product.query(
        """
        SELECT w.id, w.status, w.error FROM workflows_workflow w
        WHERE id = ANY(%s::uuid[]) AND status <> 'succeeded' AND NOT EXISTS (
            SELECT 1 FROM workflows_workflow run JOIN workflows_step s ON s.workflow_id = run.id
            JOIN workflows_stepattempt a ON a.step_id = s.id
            WHERE w.id IN (run.id, run.root_id) AND s.status = 'dead' AND a.error_code = 'worker_lost')""",
        accepted,
    )
    assert unexplained == [], f"{len(unexplained)} failed for no fault of ours: {unexplained[:3]}"
