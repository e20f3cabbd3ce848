"""Whatever goes wrong, the answer is a problem document that says what to do."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import httpx2
import pytest
from django.conf import settings

from apps.api.body_limit import DRAIN_BYTES
from tests.integration.api.conftest import DOCUMENTS, PROBLEM, WORKFLOWS, Api, assert_problem

NOBODY = uuid.uuid4()
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ALLOWED = {
    WORKFLOWS: {"GET", "POST"},
    f"{WORKFLOWS}{NOBODY}/": {"GET"},
    f"{WORKFLOWS}{NOBODY}/cancel/": {"POST"},
    f"{WORKFLOWS}{NOBODY}/events/": {"GET"},
    DOCUMENTS: {"GET", "POST"},
    f"{DOCUMENTS}{NOBODY}/": {"GET", "PUT", "PATCH", "DELETE"},
    "/api/v1/definitions/": {"GET"},
    "/api/v1/definitions/one_noop/": {"GET"},
    "/api/v1/knowledge/": {"GET"},
    "/api/v1/knowledge/search/": {"POST"},
    "/healthz": {"GET"},
    "/readyz": {"GET"},
}


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/api/v1/",
        "/api/v1/nope/",
        "/api/v2/workflows/",
        f"{WORKFLOWS}not-a-uuid/",
        f"{WORKFLOWS}{NOBODY}/nope/",
        f"{DOCUMENTS}1/",
        "/api/v1/definitions/é/",
        "/%00",
        "/api/%ff/",
    ],
)
def test_what_is_nowhere_is_404(api: Api, path: str) -> None:
    """With the way to the documentation."""
    problem = assert_problem(api.get(path), 404, "not-found")
    assert "/api/docs/" in problem["detail"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_path_without_its_slash_is_redirected_as_it_is(api: Api, method: str) -> None:
    """308: whoever follows sends the same again, and a submission is none the less one."""
    response = api.send(method, WORKFLOWS.rstrip("/"), b'{"type": "one_noop", "input": {}}')
    assert (response.status_code, response["Location"]) == (308, WORKFLOWS)


@pytest.mark.parametrize("path", ALLOWED)
def test_a_method_that_is_not_there_is_405(api: Api, path: str) -> None:
    """With those there are, in Allow."""
    for method in set(METHODS) - ALLOWED[path] - {"HEAD", "OPTIONS"}:
        response = api.send(method, path)
        assert_problem(response, 405, "method-not-allowed")
        assert ALLOWED[path] <= set(response["Allow"].split(", "))


@pytest.mark.parametrize("path", [WORKFLOWS, "/healthz", "/readyz"])
def test_an_unheard_of_method_is_405(api: Api, path: str) -> None:
    """Names of methods are anybody's to invent."""
    assert_problem(api.send("BREW", path), 405, "method-not-allowed")


def test_a_representation_that_is_not_there_is_406(api: Api) -> None:
    """Only JSON is."""
    assert_problem(api.get(WORKFLOWS, Accept="text/html"), 406, "not-acceptable")


@pytest.mark.parametrize(
    "accept",
    ["*/*", "", "application/*", "application/json;q=0.1, text/html", ";;;", "a/b/c, */*", "x" * 20_000],
)
def test_any_accept_header_is_answered(api: Api, accept: str) -> None:
    """With JSON, or with why not; never with a 500."""
    assert api.get(WORKFLOWS, Accept=accept).status_code in (200, 406)


@pytest.mark.parametrize(
    "content_type",
    [f"application/json; {'x' * 20_000}", 'application/json; a="', "é/ü"],
)
def test_any_content_type_is_answered(api: Api, content_type: str) -> None:
    """Taken, or refused as the sender's mistake."""
    response = api.send("POST", WORKFLOWS, b'{"type": "one_noop", "input": {}}', content_type)
    assert response.status_code in (202, 400, 415)


def test_a_host_that_is_not_ours_is_400(api: Api) -> None:
    """A problem document like any other."""
    assert_problem(api.get(WORKFLOWS, Host="elsewhere.example"), 400, "bad-request")


def post(
    content: bytes | AsyncIterator[bytes], content_type: str = "application/json", path: str = WORKFLOWS
) -> httpx2.Response:
    """A request through the ASGI application that is served."""
    from config.asgi import application

    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post(path, content=content, headers={"Content-Type": content_type})

    return asyncio.run(ask())


def test_headers_that_no_request_can_be_made_of_are_400() -> None:
    """Django refuses an unknown encoding (RFC 2231) before there is a request."""
    response = post(b"{}", "application/json; a*=nope'x'%41")
    assert response.status_code == 400
    assert response.headers["content-type"] == PROBLEM
    assert response.json()["type"] == "urn:agentplatform:problem:bad-request"


class TestBodyLimit:
    """Bodies over the limit are refused before they are read whole."""

    def test_an_announced_length_over_the_limit_is_413(self) -> None:
        """The header is enough."""
        response = post(b"x" * (settings.MAX_BODY_BYTES + 1))
        assert response.status_code == 413
        assert response.headers["content-type"] == PROBLEM
        problem = response.json()
        assert problem["type"] == "urn:agentplatform:problem:body-too-large"
        assert f"{settings.MAX_BODY_BYTES:,} bytes" in problem["detail"]

    def test_a_stream_over_the_limit_is_413(self) -> None:
        """Without an announced length it is counted; some is read on, so that the answer arrives, but not all."""
        sent = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(2_000):
                sent += 65_536
                yield b"x" * 65_536

        response = post(chunks())
        assert response.status_code == 413
        assert response.headers["content-type"] == PROBLEM
        assert sent <= settings.MAX_BODY_BYTES + DRAIN_BYTES + 4 * 65_536

    def test_a_document_may_be_larger_than_other_bodies(self, transactional_db: None) -> None:
        """It has a limit of its own."""
        assert post(b"x" * (settings.MAX_BODY_BYTES + 1), path=DOCUMENTS).status_code == 401
        response = post(b"x" * (settings.MAX_DOCUMENT_BYTES + 1), path=DOCUMENTS)
        assert response.status_code == 413
        assert f"{settings.MAX_DOCUMENT_BYTES:,} bytes (8 MiB)" in response.json()["detail"]

    def test_a_body_at_the_limit_is_read(self, transactional_db: None) -> None:
        """The next door is authentication."""
        response = post(b"x" * settings.MAX_BODY_BYTES)
        assert response.status_code == 401
        assert response.headers["content-type"] == PROBLEM
