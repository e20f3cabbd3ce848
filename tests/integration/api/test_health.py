"""Liveness and readiness: only the database makes the difference between serving and not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from pytest_django import Settings

from apps.tenants.services import api_key_issue
from apps.workflows.heartbeat import heartbeat_write
from tests.embedder import running_embedder
from tests.integration.api.conftest import WORKFLOWS, Api
from tests.integration.stack.launching import free_ports

EVENTS = f"{WORKFLOWS}0192f6f0-0000-7000-8000-000000000000/events/"
ASKED = ("/healthz", "/readyz", WORKFLOWS, EVENTS)
Answers = dict[str, httpx2.Response]
QUEUES = ["interactive", "standard", "batch"]


def degraded(anonymous: Api) -> set[str]:
    """What readyz finds missing, by its first word."""
    response = anonymous.get("/readyz")
    assert response.status_code == 200
    body = response.json()
    assert body["status"] == ("degraded" if body["degraded"] else "ok")
    return {line.split(":")[0] for line in body["degraded"]}


def test_liveness_asks_nothing(anonymous: Api) -> None:
    """200 as long as the process answers."""
    assert anonymous.get("/healthz").json() == {"status": "ok"}


def test_readiness_names_who_is_missing(anonymous: Api, settings: Settings) -> None:
    """From the heartbeats: workers by queue, and the dispatcher."""
    assert degraded(anonymous) == {"dispatcher", "workers", "embedder"}
    heartbeat_write("one", kind="worker", queues=QUEUES[:2], slots=1)
    heartbeat_write("standby", kind="dispatcher-standby")
    lines = anonymous.get("/readyz").json()["degraded"]
    assert [line for line in lines if "workers" in line] == ["workers: nobody serves the queue 'batch'"]
    assert degraded(anonymous) == {"dispatcher", "workers", "embedder"}
    heartbeat_write("two", kind="worker", queues=QUEUES[2:], slots=1)
    heartbeat_write("leader", kind="dispatcher")
    assert degraded(anonymous) == {"embedder"}
    with running_embedder(Path(settings.EMBEDDER_SOCKET)):
        assert degraded(anonymous) == set()


def test_readiness_without_the_broker_is_degraded(anonymous: Api, settings: Settings) -> None:
    """Submissions are accepted meanwhile: the database is what matters."""
    (nowhere,) = free_ports(1)
    settings.BROKER_URL = settings.REDIS_URL = f"redis://127.0.0.1:{nowhere}/0"
    assert degraded(anonymous) == {"dispatcher", "workers", "broker", "redis", "embedder"}


@pytest.fixture(scope="module")
def without_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    """What a real web process answers whose database is not there."""
    port, nowhere = free_ports(2)
    root = Path(__file__).parents[3]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{nowhere}/agentplatform",
    }
    command = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", str(port)]
    log = tmp_path_factory.mktemp("web") / "log"
    with log.open("wb") as output:
        web = subprocess.Popen(command, cwd=root, env=environment, stdout=output, stderr=output)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            deadline = time.monotonic() + 20
            while True:
                try:
                    client.get("/healthz")
                    break
                except httpx2.TransportError:
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.05)
            # Each waits for the pool to give up: together they wait once.
            headers = {"Authorization": "Bearer ap_key"}
            with ThreadPoolExecutor(len(ASKED)) as threads:
                answers = threads.map(lambda path: client.get(path, headers=headers), ASKED)
                yield dict(zip(ASKED, answers, strict=True))
    finally:
        web.send_signal(signal.SIGINT)
        web.wait(timeout=20)


def test_without_the_database_it_lives_but_is_not_ready(without_database: Answers) -> None:
    """503, and what that means."""
    assert without_database["/healthz"].status_code == 200
    ready = without_database["/readyz"]
    assert ready.status_code == 503
    assert ready.json()["status"] == "unavailable"
    assert ready.json()["degraded"][0].startswith("database")
    assert ready.elapsed.total_seconds() < 2.5


@pytest.mark.parametrize("path", [WORKFLOWS, EVENTS])
def test_without_the_database_requests_are_503(without_database: Answers, path: str) -> None:
    """A problem document that says to try again."""
    response = without_database[path]
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "urn:agentplatform:problem:database-unavailable"
    assert int(response.headers["retry-after"]) > 0


def test_an_operator_needs_no_key_to_ask_for_health(db: None) -> None:
    """Whatever is in the header, health is for everybody."""
    operator = Api(api_key_issue(name="operator").plaintext)
    assert operator.get("/healthz").status_code == 200
    assert Api("nonsense").get("/readyz").status_code == 200
