"""What the OpenAPI document says beyond the views: problem documents, and the stream of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

from apps.api.errors import CONTENT_TYPE

_DESCRIPTIONS = {
    "400": "The request is not valid; see `errors`.",
    "401": "No usable API key was sent.",
    "403": "The tenant is suspended, or the key is an operator's.",
    "404": "There is no such thing, or it is another tenant's.",
    "413": "The body is larger than is read.",
    "415": "The body is not application/json.",
    "429": "The tenant has sent as many requests as it may; try again after Retry-After.",
    "503": "The database does not answer; try again after Retry-After.",
}
_EVENTS = "/api/v1/workflows/{workflow_id}/events/"


class FieldErrorSerializer(serializers.Serializer):
    """What is wrong at one place of the body."""

    pointer = serializers.CharField(help_text="A JSON Pointer (RFC 6901), or ? and a query parameter's name.")
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer):
    """An error (RFC 9457): `type` is stable, `detail` says what to do."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment]


def problem(description: str) -> OpenApiResponse:
    """A problem document as a view's own response; its key in `responses` is (status, CONTENT_TYPE)."""
    return OpenApiResponse(ProblemSerializer, description=description)


def describe(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook: adds the stream, and to every operation the problems that any like it may answer with."""
    paths = result["paths"]
    paths[_EVENTS] = {"get": _events_operation()}
    for path, operations in paths.items():
        for operation in operations.values():
            for status in _problems_of(path, operation):
                operation["responses"].setdefault(status, _problem_response(_DESCRIPTIONS[status]))
            operation["responses"] = dict(sorted(operation["responses"].items()))
    result["paths"] = dict(sorted(paths.items()))
    return result


def _problems_of(path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield from ("401", "403", "429", "503")
    if "requestBody" in operation:
        yield from ("400", "413", "415")
    if any(parameter["in"] != "path" for parameter in operation.get("parameters", ())):
        yield "400"
    if "{" in path:
        yield "404"


def _problem_response(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {CONTENT_TYPE: {"schema": schema}}}


def _events_operation() -> dict[str, Any]:
    return {
        "operationId": "workflows_events",
        "description": "Server-Sent Events: `workflow.status` and `step.status` as they are committed, `token` as "
        "models speak, then `done`.",
        "parameters": [
            {
                "in": "path",
                "name": "workflow_id",
                "schema": {"type": "string", "format": "uuid"},
                "required": True,
            },
            {
                "in": "header",
                "name": "Last-Event-ID",
                "schema": {"type": "integer", "minimum": 0},
                "description": "The id of the last event that was read: the stream goes on after it.",
            },
        ],
        "tags": ["v1"],
        "security": [{"apiKey": []}],
        "responses": {
            "200": {
                "description": "The stream.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }
        },
    }
