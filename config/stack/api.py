"""A small client of the REST API, for the samples: documents, workflows, their event streams."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any

from config.stack.errors import StackError

TIMEOUT_SECONDS = 30.0
SILENCE_SECONDS = 10.0
RECONNECT_SECONDS = 0.5
STATUS_EVENTS = ("workflow.status", "step.status", "done")


class ApiError(StackError):
    """The API refused a request or could not be reached; the message is what its problem document says."""


class Api:
    """Calls made with one tenant's key. Safe to use from several threads."""

    def __init__(self, base_url: str, key: str) -> None:
        self.base_url = base_url
        self.key = key

    def get(self, path: str) -> dict[str, Any]:
        return self._json("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._json("POST", path, body)

    def put_document(self, external_id: str, fields: dict[str, str]) -> str:
        """Create the tenant's document with this external id, or replace what it holds; returns its id."""
        body = {**fields, "external_id": external_id, "content_type": "text/markdown"}
        found = self.get(f"/api/v1/documents/?{urllib.parse.urlencode({'external_id': external_id})}")[
            "results"
        ]
        if found:
            return str(self._json("PUT", f"/api/v1/documents/{found[0]['id']}/", body)["id"])
        return str(self._json("POST", "/api/v1/documents/", body)["id"])

    def submit(
        self, workflow_type: str, workflow_input: dict[str, Any], session_id: str | None = None
    ) -> dict[str, Any]:
        """Submit a workflow; returns ``workflow_id``, ``status_url`` and ``events_url``."""
        body = {"type": workflow_type, "input": workflow_input}
        if session_id is not None:
            body["session_id"] = session_id
        return self._json("POST", "/api/v1/workflows/", body)

    def events(self, url: str, within_seconds: float) -> Iterator[str]:
        """The names of a workflow's status events as they happen, ending after ``done``.

        A stream that breaks or falls silent is taken up again where it stopped; the name is ``silence`` then, so
        that the caller gets to look. Raises ApiError when ``done`` has not come within ``within_seconds``."""
        last_id = ""
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
            try:
                with self._open(self._request("GET", url, headers=headers), SILENCE_SECONDS) as response:
                    for identifier, name in parse_events(response):
                        last_id = identifier or last_id
                        if name in STATUS_EVENTS:
                            yield name
                        if name == "done":
                            return
            except (OSError, http.client.HTTPException):
                pass
            yield "silence"
            time.sleep(RECONNECT_SECONDS)
        raise ApiError(f"No end after {within_seconds:.0f} seconds: {url}")

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = self._request(method, path, None if body is None else json.dumps(body).encode())
        try:
            with self._open(request, TIMEOUT_SECONDS) as response:
                return dict(json.load(response))
        except (OSError, ValueError) as error:
            raise ApiError(f"{method} {request.full_url}: {error}") from error

    def _request(
        self, method: str, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> urllib.request.Request:
        url = urllib.parse.urljoin(self.base_url, path)
        request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
        request.add_header("Authorization", f"Bearer {self.key}")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        return request

    def _open(self, request: urllib.request.Request, timeout_seconds: float) -> http.client.HTTPResponse:
        try:
            response: http.client.HTTPResponse = LOCAL.open(request, timeout=timeout_seconds)
            return response
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(4000).decode(errors="replace")
            message = f"{request.method} {request.full_url} answered {error.code}: {problem_detail(said)}"
            raise ApiError(message) from None


# The address is this machine's own: a proxy named in the environment has no business here.
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def problem_detail(text: str) -> str:
    """The sentence in a problem document, else the text's beginning."""
    try:
        problem = json.loads(text)
        return str(problem.get("detail") or problem.get("title") or text)
    except (ValueError, AttributeError):
        return text[:200]


def parse_events(lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """(id, name) of each Server-Sent Event in the lines, by the rules of the HTML standard; data is left aside."""
    identifier, name, seen = "", "message", False
    for raw in lines:
        line = raw.decode(errors="replace").rstrip("\r\n")
        if not line:
            if seen:
                yield identifier, name
            name, seen = "message", False
            continue
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if key == "id":
            identifier = value
        elif key == "event":
            name, seen = value, True
        elif key == "data":
            seen = True
