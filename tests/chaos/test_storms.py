"""Storms: one thing after another breaks under load. `make chaos` runs them longer (CHAOS=long)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from config.stack.layout import CHECKOUT
from config.stack.stack import PROCFILE
from tests.chaos.proxy import Proxy, proxied
from tests.chaos.storm import PRIORITIES, Storm, storm
from tests.product import LONG, PROCESSES, Product, broken_invariants, eventually

WORKERS = PRIORITIES
only_long = pytest.mark.skipif(not LONG, reason="make chaos")


def brought_back(product: Product, name: str) -> None:
    """Returns once supervision has started the process again."""
    eventually(lambda: product.stack.state(name) == "RUNNING", 30, f"{name} did not come back")


def at_work(raging: Storm, name: str) -> None:
    """Returns once the worker of this name takes steps: another process than the one that was killed."""
    beats = "SELECT 1 FROM workflows_heartbeat WHERE name LIKE %s"

    def takes_steps() -> bool:
        pid = raging.product.stack.process_ids().get(name)
        return pid not in (None, *raging.killed) and raging.product.query(beats, f"%:{pid}:%") != []

    eventually(takes_steps, 60, f"{name} takes no steps")


@pytest.mark.timeout(1_800)
def test_workers_are_killed_at_random(product: Product, record_property: pytest.RecordProperty) -> None:
    """At any moment of what they do: before, in and after a call, or in the middle of a finish."""
    kills = 100 if LONG else 4
    with storm(product, seed=1) as raging:
        while len(raging.killed) < kills:
            name = raging.random.choice(WORKERS)
            at_work(raging, name)
            time.sleep(raging.random.uniform(0, 2))
            raging.kill_worker(name)
    recovered = raging.recovery_seconds()
    record_property("kills", len(raging.killed))
    record_property("attempts_lost", len(recovered))
    record_property("slowest_recovery_seconds", round(max(recovered, default=0), 1))


@only_long
@pytest.mark.timeout(600)
def test_dispatchers_and_beat_are_killed(product: Product) -> None:
    """Whoever leads; the timer of maintenance too."""
    product.stack.start(["beat"])
    with storm(product, seed=2) as raging:
        for _ in range(20):
            name = raging.random.choice(("dispatcher", "dispatcher-standby", "beat"))
            brought_back(product, name)
            product.stack.kill(name, signal.SIGKILL)
            time.sleep(raging.random.uniform(0, 2))
    product.stack.stop("beat")


@pytest.mark.timeout(600)
def test_the_broker_is_emptied_and_restarted(product: Product) -> None:
    """Hints are lost; their rows are not."""
    with storm(product, seed=3) as raging:
        for _ in range(8 if LONG else 1):
            with redis.Redis.from_url(product.stack.environment["BROKER_URL"]) as broker:
                broker.flushall()
            time.sleep(raging.random.uniform(0, 2))
            product.stack.kill("broker", signal.SIGKILL)
            brought_back(product, "broker")
            time.sleep(raging.random.uniform(0, 2))


@pytest.mark.timeout(600)
def test_the_database_ends_every_connection_and_restarts(product: Product) -> None:
    """In the middle of whatever was asked of it."""
    with storm(product, seed=4) as raging:
        for _ in range(20 if LONG else 2):
            end_every_connection(product)
            time.sleep(raging.random.uniform(0, 1))
        for _ in range(3 if LONG else 1):
            product.stack.restart("postgres")
            time.sleep(raging.random.uniform(1, 3))


def end_every_connection(product: Product) -> None:
    """pg_terminate_backend for all but our own."""
    product.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )


@only_long
@pytest.mark.timeout(600)
def test_all_connections_are_taken(product: Product) -> None:
    """Nobody gets a new one for a while."""
    with storm(product, seed=5):
        taken = []
        try:
            while True:
                taken.append(psycopg.connect(product.stack.environment["DATABASE_URL"]))
        except psycopg.OperationalError:
            pass
        # Those that are kept in pools are ended, so that their owners have to ask for new ones, in vain.
        ours = [connection.info.backend_pid for connection in taken]
        taken[0].autocommit = True
        taken[0].execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND NOT pid = ANY(%s)",
            [ours],
        )
        time.sleep(10)
        for connection in taken:
            connection.close()


@only_long
@pytest.mark.timeout(600)
def test_a_transaction_is_left_open(product: Product) -> None:
    """It holds the locks of all queues, lanes and running workflows for a quarter of a minute."""
    with storm(product, seed=6), psycopg.connect(product.stack.environment["DATABASE_URL"]) as idle:
        for table in ("workflows_queueconfig", "workflows_lane", "workflows_workflow"):
            idle.execute(f"SELECT count(*) FROM (SELECT 1 FROM {table} FOR UPDATE) locked")
        time.sleep(15)
        idle.rollback()


# --- A worker that was away, and the fence --------------------------------------------------------------------


def test_a_worker_that_slept_through_its_lease_changes_nothing(product: Product) -> None:
    """Its step was given to another; what it brings is settled once, and not written."""
    workflow_id = a_stale_finish(product)
    assert product.finished(workflow_id)["status"] == "succeeded"
    assert broken_invariants(product) == {}


@only_long
def test_without_the_fence_the_same_is_caught(product: Product) -> None:
    """The check can fail: a finish that looks at neither attempt nor status nor revision breaks invariants."""
    (definition,) = product.query("SELECT pg_get_functiondef('workflows_finish'::regproc)")[0]
    unfenced, count = re.subn(
        r"AND attempt = p_attempt AND status = 'running' AND v_workflow\.revision = p_revision\s+"
        r"AND \(NOT p_reap OR lease_expires_at < now\(\) OR deadline_at < now\(\)\)",
        "",
        definition,
    )
    assert count == 1, "the fence is not where it was"
    execute(product, unfenced)
    try:
        a_stale_finish(product)
        assert "a step succeeds once, and once more for each requeue" in broken_invariants(product)
    finally:
        execute(product, definition)
        execute(
            product,
            "TRUNCATE workflows_event, workflows_stepattempt, workflows_step, workflows_workflow CASCADE",
        )
        execute(product, "TRUNCATE gateway_call")


def a_stale_finish(product: Product) -> str:
    """A worker is stopped in the middle of a step of two seconds, until another has done it; then it goes on."""
    workflow_id = product.submit("one_sleep", {"seconds": 2}, priority="interactive")
    state = "SELECT status FROM workflows_step WHERE workflow_id = %s"
    eventually(lambda: product.query(state, workflow_id) == [("running",)], 15, "it does not run")
    stopped = product.stack.kill("interactive", signal.SIGSTOP)
    try:
        # No other worker serves this queue: a second one takes the step up once the lease has expired.
        with another_worker(product, "interactive"):
            eventually(lambda: product.query(state, workflow_id) == [("succeeded",)], 40, "nobody took it up")
            os.kill(stopped, signal.SIGCONT)
            time.sleep(5)
    finally:
        os.kill(stopped, signal.SIGCONT)
    return workflow_id


@contextmanager
def another_worker(product: Product, queue: str) -> Iterator[None]:
    """One more worker of a queue, started by hand."""
    words = ["-P", "threads", "-c", "2", "-Q", queue, "-n", f"second-{queue}@%h", "--without-gossip"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "config", "worker", *words, "--without-mingle", "-l", "ERROR"],
        env=product.stack.environment,
        cwd=CHECKOUT,
    )
    try:
        yield
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(15)
        except subprocess.TimeoutExpired:
            worker.kill()


def execute(product: Product, sql: str) -> None:
    """A statement that returns nothing."""
    with psycopg.connect(product.stack.environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(sql)


# --- A product whose servers stand behind something -----------------------------------------------------------


@only_long
@pytest.mark.timeout(600)
def test_connections_go_silent(product: Product, tmp_path: Path) -> None:
    """The servers, or a proxy before them, vanish without a word: what is asked is asked again elsewhere."""
    outer = product.stack.environment
    broker = urlsplit(outer["BROKER_URL"])
    sockets = psycopg.conninfo.conninfo_to_dict(outer["DATABASE_URL"])
    folder, port = sockets["host"], sockets.get("port") or 5432
    with (
        proxied(f"{folder}/.s.PGSQL.{port}") as database,
        proxied((str(broker.hostname), int(broker.port or 6379))) as messages,
        behind(product, tmp_path, database, messages) as inner,
        storm(inner, seed=7),
    ):
        assert database.silence() > 0
        time.sleep(10)
        assert messages.silence() > 0
        time.sleep(40)


@contextmanager
def behind(product: Product, home: Path, database: Proxy, messages: Proxy) -> Iterator[Product]:
    """A product of its own, on a database of its own, that reaches its servers through the proxies."""
    outer = product.stack.environment
    execute(product, "CREATE DATABASE silent")
    user = psycopg.conninfo.conninfo_to_dict(outer["DATABASE_URL"])["user"]
    broker = urlsplit(outer["BROKER_URL"])
    inner = Product(
        home,
        DATABASE_URL=f"postgresql://{user}@127.0.0.1:{database.port}/silent",
        BROKER_URL=broker._replace(
            netloc=f"{broker.netloc.rpartition('@')[0]}@127.0.0.1:{messages.port}", path="/5"
        ).geturl(),
    )
    try:
        inner.start()
        yield inner
    finally:
        inner.close()
        execute(product, "DROP DATABASE silent WITH (FORCE)")


SKEW = '''\
"""Makes this process believe that it is five minutes later than it is."""

import time

_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + 300
time.time_ns = lambda: _time_ns() + 300 * 10**9
'''


@only_long
@pytest.mark.timeout(600)
def test_a_workers_clock_is_five_minutes_off(tmp_path: Path) -> None:
    """Leases, deadlines and retries go by the database's clock; the worker only counts seconds left."""
    (tmp_path / "skew").mkdir()
    (tmp_path / "skew" / "sitecustomize.py").write_text(SKEW)
    procfile = tmp_path / "Procfile"
    text = PROCFILE.read_text()
    for name in WORKERS:
        text = text.replace(f"{name}: celery", f"{name}: env PYTHONPATH={tmp_path / 'skew'} celery", 1)
    procfile.write_text(text)
    product = Product(tmp_path / "home", PROCESSES, procfile=procfile)
    try:
        product.start()
        with storm(product, seed=8) as raging:
            time.sleep(10)
            raging.kill_worker("standard")
            time.sleep(10)
    finally:
        product.close()
