"""The API as an application sees it: requests over the whole of Django's stack, on the real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from apps.knowledge.models import Chunk, Document
from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue, tenant_create
from apps.workflows.models import Event, IdempotencyKey, Step, Workflow

WORKFLOWS = "/api/v1/workflows/"
DOCUMENTS = "/api/v1/documents/"
PROBLEM = "application/problem+json"


class Api:
    """Sends requests with a key; an exception of a view is the 500 that it is for everybody else."""

    def __init__(self, key: str | None) -> None:
        self.client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        self.headers = {"Authorization": f"Bearer {key}"} if key is not None else {}

    def send(
        self,
        method: str,
        path: str,
        data: bytes = b"",
        content_type: str = "application/json",
        **headers: str,
    ) -> Any:
        """A request as it stands, byte for byte."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.generic(method, path, data, content_type, headers={**self.headers, **named})

    def get(self, path: str, **headers: str) -> Any:
        return self.send("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.send("POST", path, json.dumps(body).encode(), **headers)

    def put(self, path: str, body: Any) -> Any:
        return self.send("PUT", path, json.dumps(body).encode())

    def patch(self, path: str, body: Any) -> Any:
        return self.send("PATCH", path, json.dumps(body).encode())

    def delete(self, path: str) -> Any:
        return self.send("DELETE", path)

    def submit(self, type_: str = "one_noop", **fields: Any) -> str:
        """Submits a workflow and returns its id."""
        response = self.post(WORKFLOWS, {"type": type_, "input": {}, **fields})
        assert response.status_code == 202, response.content
        return str(response.json()["workflow_id"])

    def upload(self, **fields: Any) -> dict[str, Any]:
        """Creates a document and returns it."""
        response = self.post(DOCUMENTS, {"title": "A title", "content": "Some words.", **fields})
        assert response.status_code == 201, response.content
        return dict(response.json())


@pytest.fixture
def tenant(db: None) -> Tenant:
    """A standard tenant, gone with the test's transaction."""
    return tenant_create(name="acme", tier="standard")


@pytest.fixture
def api(tenant: Tenant) -> Api:
    """The API with a key of the tenant."""
    return Api(api_key_issue(name="first", tenant=tenant).plaintext)


@pytest.fixture
def other_api(tenant: Tenant) -> Api:
    """The API with a key of another tenant."""
    other = tenant_create(name="other", tier="standard")
    return Api(api_key_issue(name="first", tenant=other).plaintext)


@pytest.fixture
def anonymous(db: None) -> Api:
    """The API without a key."""
    return Api(None)


@pytest.fixture
def stored(db: None) -> Callable[[], tuple[int, ...]]:
    """How many rows there are of all that the API stores."""
    models = (Workflow, Step, Event, IdempotencyKey, Document, Chunk)
    return lambda: tuple(model.objects.count() for model in models)


def assert_problem(response: HttpResponse, status: int, code: str | None = None) -> dict[str, Any]:
    """The response is a problem document (RFC 9457) of this status and code; returns it."""
    assert response.status_code == status, (response.status_code, response.content[:500])
    assert response["Content-Type"] == PROBLEM
    document: dict[str, Any] = json.loads(response.content)
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["type"].startswith("urn:agentplatform:problem:")
    if code is not None:
        assert document["type"] == f"urn:agentplatform:problem:{code}"
    return document
