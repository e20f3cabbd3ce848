"""The event stream of a workflow, through the ASGI application that is served. How it goes on while a workflow runs
is for the functional tests."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue, tenant_create, tenant_suspend
from apps.workflows.models import Event, Workflow
from apps.workflows.services import workflow_cancel, workflow_start
from apps.workflows.submissions import submission_make
from tests.integration.api.conftest import PROBLEM, WORKFLOWS

Ask = Callable[..., httpx2.Response]


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A standard tenant; streams read on connections of their own."""
    return tenant_create(name="acme", tier="standard")


@pytest.fixture
def ask(tenant: Tenant) -> Ask:
    """Reads a workflow's stream to its end, with a key of the tenant if no other is given."""
    from config.asgi import application

    own = api_key_issue(name="first", tenant=tenant).plaintext

    def read(
        workflow_id: object, key: str | None = own, method: str = "GET", **headers: str
    ) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            named["Authorization"] = f"Bearer {key}"

        async def request() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=application)
            async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, f"{WORKFLOWS}{workflow_id}/events/", headers=named)

        return asyncio.run(asyncio.wait_for(request(), 10))

    return read


@pytest.fixture
def ended(tenant: Tenant) -> uuid.UUID:
    """A run of ten steps that was cancelled."""
    submission = submission_make(tenant=tenant, type_="ten_noops", workflow_input={})
    workflow_id = workflow_start(tenant=tenant, submission=submission).id
    workflow_cancel(workflow_id)
    return workflow_id


def events(response: httpx2.Response) -> list[tuple[int, str, dict[str, Any]]]:
    """The (id, event, data) of a stream."""
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream"
    found = []
    for block in response.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


def problem(response: httpx2.Response) -> tuple[int, str]:
    """The status and code of a problem document."""
    assert response.headers["content-type"] == PROBLEM
    return response.status_code, response.json()["type"].removeprefix("urn:agentplatform:problem:")


def test_a_stream_tells_all_that_was_committed_and_ends(ask: Ask, ended: uuid.UUID) -> None:
    """Each step, the workflow, done; ids rise."""
    told = events(ask(ended))
    assert [kind for _, kind, _ in told] == ["step.status"] * 10 + ["workflow.status", "done"]
    assert {data["key"] for _, kind, data in told if kind == "step.status"} == {
        f"step_{n}" for n in range(10)
    }
    assert told[-1][2] == {"status": "cancelled"}
    ids = [event_id for event_id, _, _ in told]
    assert ids == sorted(ids)


def test_a_stream_goes_on_where_a_client_stopped(ask: Ask, ended: uuid.UUID) -> None:
    """After its last event only the end is told, at once."""
    told = events(ask(ended))
    assert events(ask(ended, Last_Event_ID=str(told[4][0]))) == told[5:]
    assert events(ask(ended, Last_Event_ID=str(told[-1][0]))) == told[-1:]
    assert events(ask(ended, Last_Event_ID=str(10**17)))[-1][1] == "done"


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 19, "9" * 5_000, " ", "1 2"])
def test_an_id_that_no_event_has_is_400(ask: Ask, ended: uuid.UUID, last: str) -> None:
    """Only digits are."""
    assert problem(ask(ended, Last_Event_ID=last)) == (400, "invalid-last-event-id")


def test_a_stream_longer_than_one_reading_is_told_whole(ask: Ask, ended: uuid.UUID) -> None:
    """Twelve hundred events, each once, in order, before the end."""
    data = {"key": "step_0", "index": None, "status": "running"}
    Event.objects.bulk_create(Event(workflow_id=ended, kind="step.status", data=data) for _ in range(1_200))
    told = events(ask(ended))
    assert len(told) == 11 + 1_200 + 1
    assert told[-1][1] == "done"
    assert len({event_id for event_id, _, _ in told[:-1]}) == len(told) - 1


def test_a_stream_is_read_with_a_key_of_its_tenant(ask: Ask, ended: uuid.UUID, tenant: Tenant) -> None:
    """None, a wrong one, another tenant's, an operator's, a suspended tenant's: each is told what is wrong."""
    other = api_key_issue(name="k", tenant=tenant_create(name="other", tier="free")).plaintext
    assert problem(ask(ended, key=None)) == (401, "no-api-key")
    assert problem(ask(ended, key="nonsense")) == (401, "invalid-api-key")
    assert problem(ask(ended, key=other)) == (404, "not-found")
    assert problem(ask(uuid.uuid4())) == (404, "not-found")
    assert ask(ended, key=other).content == ask(uuid.uuid4()).content
    operator = api_key_issue(name="operator").plaintext
    assert problem(ask(ended, key=operator)) == (403, "tenant-key-needed")
    tenant_suspend(tenant)
    assert problem(ask(ended)) == (403, "tenant-suspended")


def test_a_stream_is_only_read(ask: Ask, ended: uuid.UUID) -> None:
    """HEAD says what GET would send; anything else is 405."""
    head = ask(ended, method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert problem(ask(ended, method="POST")) == (405, "method-not-allowed")
    assert Workflow.objects.get().status == "cancelled"
