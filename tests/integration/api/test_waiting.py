"""`Prefer: wait`, through the ASGI application that is served: a client waits, and nothing is held for it."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import httpx2
import pytest
from django.db import connection
from pytest_django import Settings

from apps.api import event_hub
from apps.api.event_hub import hub
from apps.api.preferences import preferred_wait_seconds
from apps.api.threads import in_thread
from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue, tenant_create
from apps.workflows.models import Workflow
from apps.workflows.services import workflow_cancel, workflow_start
from apps.workflows.submissions import submission_make
from apps.workflows.wake import Wake
from tests.integration.api.conftest import WORKFLOWS
from tests.integration.stack.launching import free_ports

BODY = {"type": "ten_noops", "input": {}}
Client = httpx2.AsyncClient
Ask = Callable[[Callable[[Client], Awaitable[Any]]], Any]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=10", 10),
        ("wait=1", 1),
        ("wait=60", 60),
        ("wait=61", 60),
        ("wait=" + "9" * 900, 60),
        ("wait=007", 7),
        ('wait="5"', 5),
        ("WAIT = 5", 5),
        ("wait=5; for=me", 5),
        ("respond-async, wait=10", 10),
        ('odd="a, wait=3", wait=4', 4),
        ('odd="\\", wait=3", wait=4', 4),
        ("wait=5, wait=9", 5),
        ("", None),
        ("wait", None),
        ("wait=", None),
        ("wait=0", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=ten", None),
        ("wait=٣", None),
        ("wait=ten, wait=9", None),
        ("waiting=5", None),
        ("respond-async", None),
        ("wait=5," + "x" * 1_000, None),
    ],
)
def test_a_preference_is_read_as_the_standard_says(header: str, seconds: int | None) -> None:
    """More than a minute is a minute; what cannot be understood is as good as not said."""
    assert preferred_wait_seconds(header) == seconds


def test_a_hostile_preference_is_read_in_no_time() -> None:
    """Quotes that never end do not make it slow."""
    started = time.perf_counter()
    assert preferred_wait_seconds('a="\\' * 16_000) is None
    assert preferred_wait_seconds('"' + '\\"' * 498) is None
    assert time.perf_counter() - started < 0.5


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A standard tenant; what waits reads on connections of its own."""
    return tenant_create(name="acme", tier="standard")


@pytest.fixture
def ask(tenant: Tenant) -> Ask:
    """Runs what a client of the tenant does, in less than half a minute."""
    from config.asgi import application

    key = api_key_issue(name="first", tenant=tenant).plaintext

    def run(requests: Callable[[Client], Awaitable[Any]]) -> Any:
        async def with_client() -> Any:
            async with Client(
                transport=httpx2.ASGITransport(app=application),
                base_url="http://127.0.0.1",
                headers={"Authorization": f"Bearer {key}"},
                timeout=None,
            ) as client:
                return await requests(client)

        return asyncio.run(asyncio.wait_for(with_client(), 30))

    return run


def started(tenant: Tenant) -> uuid.UUID:
    """A run of the tenant that nobody works on."""
    return workflow_start(
        tenant=tenant, submission=submission_make(tenant=tenant, type_="ten_noops", workflow_input={})
    ).id


async def cancel_when_waited_for(count: int = 1) -> None:
    """Cancels the one run there is, once so many wait for it."""
    while sum(len(waiting) for waiting in hub._waiting.values()) < count:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    await in_thread(lambda: workflow_cancel(Workflow.objects.get().pk))


def test_a_submission_waits_for_its_result(ask: Ask) -> None:
    """200, and the workflow as GET shows it."""

    async def requests(client: Client) -> tuple[httpx2.Response, httpx2.Response]:
        cancelling = asyncio.create_task(cancel_when_waited_for())
        response = await client.post(WORKFLOWS, json=BODY, headers={"Prefer": "wait=20"})
        await cancelling
        return response, await client.get(f"{WORKFLOWS}{response.json()['id']}/")

    response, read = ask(requests)
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "wait=20"
    assert response.headers["Location"].endswith(f"/{response.json()['id']}/")
    assert response.json()["status"] == "cancelled"
    assert response.json() == read.json()
    assert "Preference-Applied" not in read.headers


def test_a_submission_that_takes_longer_is_accepted(ask: Ask) -> None:
    """202 after the time, with where to look and how it stands."""

    async def requests(client: Client) -> tuple[float, httpx2.Response]:
        began = time.monotonic()
        response = await client.post(WORKFLOWS, json=BODY, headers={"Prefer": "wait=1"})
        return time.monotonic() - began, response

    seconds, response = ask(requests)
    assert 1 <= seconds < 3
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "wait=1"
    body = response.json()
    assert response.headers["Location"] == body["status_url"]
    assert body["workflow_id"] == str(Workflow.objects.get().pk)
    assert body["status"] == "running"


def test_reading_waits_too(ask: Ask, tenant: Tenant) -> None:
    """The workflow once it has ended, or after the time as it is: 200 both times."""
    url = f"{WORKFLOWS}{started(tenant)}/"

    async def requests(client: Client) -> tuple[httpx2.Response, httpx2.Response]:
        early = await client.get(url, headers={"Prefer": "wait=1"})
        cancelling = asyncio.create_task(cancel_when_waited_for())
        late = await client.get(url, headers={"Prefer": "wait=20"})
        await cancelling
        return early, late

    early, late = ask(requests)
    assert (early.status_code, early.json()["status"]) == (200, "running")
    assert (late.status_code, late.json()["status"]) == (200, "cancelled")
    assert late.json()["finished_at"] is not None


def test_a_repeated_submission_waits_for_the_first(ask: Ask) -> None:
    """With an Idempotency-Key: both are answered with the one workflow, and a third one at once."""

    async def requests(client: Client) -> list[httpx2.Response]:
        headers = {"Prefer": "wait=100", "Idempotency-Key": "one"}
        both = [asyncio.create_task(client.post(WORKFLOWS, json=BODY, headers=headers)) for _ in range(2)]
        await cancel_when_waited_for(2)
        responses = [await one for one in both]
        began = time.monotonic()
        responses.append(await client.post(WORKFLOWS, json=BODY, headers=headers))
        assert time.monotonic() - began < 1
        return responses

    responses = ask(requests)
    assert [response.status_code for response in responses] == [200] * 3
    assert {response.json()["id"] for response in responses} == {str(Workflow.objects.get().pk)}
    assert [response.headers["Preference-Applied"] for response in responses] == ["wait=60"] * 3
    assert [r.headers.get("Idempotency-Replayed") for r in responses].count("true") == 2


@pytest.mark.parametrize("preference", ["wait=0", "wait=soon", "respond-async"])
def test_what_is_not_understood_is_passed_over(ask: Ask, preference: str) -> None:
    """202 at once, as without it."""
    response = ask(lambda client: client.post(WORKFLOWS, json=BODY, headers={"Prefer": preference}))
    assert response.status_code == 202
    assert "Preference-Applied" not in response.headers
    assert "status" not in response.json()


def test_a_dry_run_has_nothing_to_wait_for(ask: Ask) -> None:
    """200 at once with the plan."""
    body = {**BODY, "dry_run": True}
    response = ask(lambda client: client.post(WORKFLOWS, json=body, headers={"Prefer": "wait=20"}))
    assert response.status_code == 200
    assert len(response.json()["steps"]) == 10
    assert "Preference-Applied" not in response.headers


def test_a_refused_submission_does_not_wait(ask: Ask) -> None:
    """The problem comes at once."""
    response = ask(lambda client: client.post(WORKFLOWS, json={}, headers={"Prefer": "wait=20"}))
    assert response.status_code == 400
    assert "Preference-Applied" not in response.headers


def test_another_tenants_workflow_is_not_waited_for(ask: Ask) -> None:
    """404 at once."""
    theirs = started(tenant_create(name="other", tier="free"))
    response = ask(lambda client: client.get(f"{WORKFLOWS}{theirs}/", headers={"Prefer": "wait=20"}))
    assert response.status_code == 404


def connections_lent() -> int:
    """How many connections of this process's pool are in use."""
    pool = connection.pool.get_stats()
    return int(pool["pool_size"] - pool["pool_available"])


def test_who_waits_holds_neither_a_thread_nor_a_connection(ask: Ask, tenant: Tenant) -> None:
    """A hundred wait, and another request has its turn at once; the end reaches all of them."""
    url = f"{WORKFLOWS}{started(tenant)}/"

    async def requests(client: Client) -> list[httpx2.Response]:
        await client.get(url)  # whatever the first request brings with it
        threads = threading.active_count()
        waits = [asyncio.create_task(client.get(url, headers={"Prefer": "wait=25"})) for _ in range(100)]
        async with asyncio.timeout(10):
            while sum(len(waiting) for waiting in hub._waiting.values()) < 100 or connections_lent() > 0:
                await asyncio.sleep(0.1)
        # The threads that requests share, and at most a few that are just ending.
        assert threading.active_count() < threads + 20
        began = time.monotonic()
        assert (await client.get(url)).json()["status"] == "running"
        assert time.monotonic() - began < 1
        await in_thread(lambda: workflow_cancel(Workflow.objects.get().pk))
        return [await wait for wait in waits]

    responses = ask(requests)
    assert {(response.status_code, response.json()["status"]) for response in responses} == {
        (200, "cancelled")
    }


def test_a_client_that_goes_away_ends_its_wait(tenant: Tenant) -> None:
    """The application is done with the request, long before the wait would have been over."""
    from config.asgi import application

    key = api_key_issue(name="first", tenant=tenant).plaintext
    path = f"{WORKFLOWS}{started(tenant)}/"
    headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {key}".encode()), (b"prefer", b"wait=60")]
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
    }
    sent: list[Any] = []

    async def request() -> None:
        messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            if (message := next(messages, None)) is not None:
                return message
            while not hub._waiting:
                await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await application(scope, receive, send)
        assert not hub._waiting

    asyncio.run(asyncio.wait_for(request(), 10))
    assert sent == []


def test_an_end_is_found_without_redis(ask: Ask, settings: Settings) -> None:
    """By asking the database once a second for all who wait."""
    settings.REDIS_URL = f"redis://127.0.0.1:{free_ports(1)[0]}/0"
    assert _seconds_until_told(ask) < 3


def test_an_end_of_which_nobody_was_told_is_found(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost wake-up makes it later, and that is all."""
    monkeypatch.setattr(Wake, "ended", lambda self, workflow_id: None)
    monkeypatch.setattr(event_hub, "SWEEP_SECONDS", 1.5)
    assert _seconds_until_told(ask) < 4


def _seconds_until_told(ask: Ask) -> float:
    """From a run's end to the answer of a request that waits for it."""

    async def requests(client: Client) -> float:
        cancelling = asyncio.create_task(cancel_when_waited_for())
        response = await client.post(WORKFLOWS, json=BODY, headers={"Prefer": "wait=25"})
        await cancelling
        assert response.json()["status"] == "cancelled"
        return time.time() - datetime.fromisoformat(response.json()["finished_at"]).timestamp()

    return float(ask(requests))
