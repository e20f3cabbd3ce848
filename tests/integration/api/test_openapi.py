"""The OpenAPI document says what the API does, and the API does what it says."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
import yaml
from django.urls import URLPattern, get_resolver
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator

from tests.integration.api.conftest import DOCUMENTS, PROBLEM, WORKFLOWS, Api

WEBHOOKS = "/api/v1/webhooks/"
METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture
def document(anonymous: Api) -> dict[str, Any]:
    """The document as anybody reads it."""
    response = anonymous.get("/api/schema/")
    assert response.status_code == 200
    return dict(yaml.safe_load(response.content))


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every (path, method, operation)."""
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    """By OpenAPI's own schema, with every reference resolved."""
    validate_schema(document)
    references = set(_references(document))
    assert references
    for reference in references:
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def test_it_is_complete(document: dict[str, Any]) -> None:
    """Every path of version 1 is in it, the event stream too."""
    patterns = [
        pattern
        for resolver in get_resolver().url_patterns
        if str(resolver.pattern) == "api/v1/"
        for pattern in resolver.url_patterns  # type: ignore[union-attr]
    ]
    assert all(isinstance(pattern, URLPattern) for pattern in patterns)
    assert len(document["paths"]) == len(patterns)
    assert any(path.endswith("/events/") for path in document["paths"])


NAMED_IN_BODY = ("/api/v1/cache/purge/",)
"""Where the body says what it is about, which may not be there."""


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    """A name of its own, its key, its success and its problems, each in words or with a schema."""
    found = operations(document)
    names = [operation["operationId"] for _, _, operation in found]
    assert len(set(names)) == len(names)
    for path, method, operation in found:
        where = f"{method} {path}"
        assert operation["description"], where
        assert operation["security"] == [{"apiKey": []}], where
        statuses = set(operation["responses"])
        assert statuses & {"200", "201", "202", "204"}, where
        assert {"401", "403", "503"} <= statuses, where
        assert ("404" in statuses) == ("{" in path or path in NAMED_IN_BODY), where
        assert ("requestBody" in operation) == ({"400", "413", "415"} <= statuses), where
        for status, response in operation["responses"].items():
            assert status == "204" or response["content"], f"{where} {status}"
            if status >= "400":
                assert list(response["content"]) == [PROBLEM], f"{where} {status}"
                assert response["description"], f"{where} {status}"


def test_the_documentation_is_for_everybody(anonymous: Api) -> None:
    """A page, without a key."""
    response = anonymous.get("/api/docs/")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/html")


def test_answers_are_as_the_document_says(api: Api, document: dict[str, Any], settings: Any) -> None:
    """Each status is one that is declared, and each body fits its schema."""
    workflow_id, document_id = api.submit(), api.upload(external_id="x")["id"]
    nobody = uuid.uuid4()
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]
    hook = {"url": "http://127.0.0.1:9/", "events": ["workflow.finished"]}
    webhook_id = api.post(WEBHOOKS, hook).json()["id"]
    delivery_id = api.post(f"{WEBHOOKS}{webhook_id}/test/", {}).json()["id"]
    body: dict[str, Any] = {"title": "t", "content": "c"}
    noop: dict[str, Any] = {"type": "one_noop", "input": {}}
    fan_out = {"type": "fan_out", "input": {"count": 1}, "dry_run": True}
    asked = [
        (202, "post", WORKFLOWS, noop),
        (200, "post", WORKFLOWS, fan_out),
        (200, "post", WORKFLOWS, {"input": {"question": "What is it?"}, "dry_run": True}),
        (400, "post", WORKFLOWS, {"priority": 1}),
        (422, "post", WORKFLOWS, {"type": "nope", "input": {}}),
        (200, "get", WORKFLOWS, None),
        (200, "get", f"{WORKFLOWS}?limit=1", None),
        (400, "get", f"{WORKFLOWS}?limit=0", None),
        (200, "get", f"{WORKFLOWS}{workflow_id}/", None),
        (404, "get", f"{WORKFLOWS}{nobody}/", None),
        (200, "post", f"{WORKFLOWS}{workflow_id}/cancel/", None),
        (409, "post", f"{WORKFLOWS}{workflow_id}/cancel/", None),
        (200, "get", f"{WORKFLOWS}{workflow_id}/", None),
        (201, "post", DOCUMENTS, body),
        (409, "post", DOCUMENTS, {**body, "external_id": "x"}),
        (200, "get", DOCUMENTS, None),
        (200, "get", f"{DOCUMENTS}{document_id}/", None),
        (200, "put", f"{DOCUMENTS}{document_id}/", body),
        (200, "patch", f"{DOCUMENTS}{document_id}/", {"metadata": {"a": [1]}}),
        (400, "patch", f"{DOCUMENTS}{document_id}/", {"a": 1}),
        (204, "delete", f"{DOCUMENTS}{document_id}/", None),
        (404, "delete", f"{DOCUMENTS}{document_id}/", None),
        (200, "get", "/api/v1/definitions/", None),
        (200, "get", "/api/v1/definitions/answer_question/", None),
        (404, "get", "/api/v1/definitions/nope/", None),
        (201, "post", WEBHOOKS, hook),
        (400, "post", WEBHOOKS, {"url": "http://10.0.0.1/"}),
        (200, "get", WEBHOOKS, None),
        (200, "patch", f"{WEBHOOKS}{webhook_id}/", {"description": "d"}),
        (200, "post", f"{WEBHOOKS}{webhook_id}/rotate-secret/", {"overlap_seconds": 60}),
        (202, "post", f"{WEBHOOKS}{webhook_id}/test/", None),
        (200, "get", f"{WEBHOOKS}{webhook_id}/deliveries/", None),
        (409, "post", f"{WEBHOOKS}deliveries/{delivery_id}/redeliver/", None),
        (204, "delete", f"{WEBHOOKS}{webhook_id}/", None),
        (200, "get", "/api/v1/notices/", None),
    ]
    for status, method, path, sent in asked:
        data = b"" if sent is None else json.dumps(sent).encode()
        response = api.send(method.upper(), path, data)
        assert response.status_code == status, (method, path, response.content)
        declared = _operation(document, method, path)
        if sent is not None and status < 400:
            schema = declared["requestBody"]["content"]["application/json"]["schema"]
            assert _complaints(document, schema, sent) == [], (method, path)
        content = declared["responses"][str(status)].get("content")
        if content is None:
            assert response.content == b""
            continue
        schema = content[response["Content-Type"]]["schema"]
        assert _complaints(document, schema, response.json()) == [], (method, path, status)


def _operation(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    parts = path.partition("?")[0].split("/")
    for declared, item in document["paths"].items():
        names = declared.split("/")
        if len(names) == len(parts) and all(
            name == part or name.startswith("{") for name, part in zip(names, parts, strict=True)
        ):
            return dict(item[method])
    raise AssertionError(f"{path} is not in the document")


def _complaints(document: dict[str, Any], schema: dict[str, Any], body: Any) -> list[str]:
    """What JSON Schema finds wrong, with OpenAPI 3.0's `nullable` as the type that it means."""
    whole = _without_nullable({**schema, "components": document["components"]})
    return [error.message for error in Draft202012Validator(whole).iter_errors(body)]


def _without_nullable(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nullable(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {name: _without_nullable(item) for name, item in value.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if value.get("nullable") is True else plain


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [reference for item in value for reference in _references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [reference for item in value.values() for reference in _references(item)]
