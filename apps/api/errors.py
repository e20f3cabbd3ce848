"""Errors as RFC 9457 problem documents that say what to do."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions, status
from rest_framework.response import Response

from apps.database import OUTAGE_ERRORS, drop_broken_connections

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:agentplatform:problem:"


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong at one place of the body; `pointer` is a JSON Pointer (RFC 6901)."""

    pointer: str
    detail: str

    def to_json(self) -> dict[str, str]:
        return {"pointer": self.pointer, "detail": self.detail}


def json_pointer(*path: str | int) -> str:
    """The JSON Pointer (RFC 6901) of a path of names and indexes."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


class Problem(exceptions.APIException):
    """An error of the API: `code` is stable, `detail` says what to do."""

    def __init__(
        self,
        status_code: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail, code)
        self.status_code = status_code
        self.problem_code = code
        self.errors = list(errors)
        self.headers = dict(headers or {})

    @property
    def document(self) -> dict[str, Any]:
        return problem_document(self.status_code, self.problem_code, str(self.detail), self.errors)


def problem_document(
    status_code: int, code: str, detail: str, errors: Sequence[FieldError] = ()
) -> dict[str, Any]:
    """The body of an error."""
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + code.replace("_", "-"),
        "title": code.replace("_", " ").capitalize(),
        "status": status_code,
        "detail": detail,
    }
    if errors:
        document["errors"] = [error.to_json() for error in errors]
    return document


def problem_response(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's exception handler: every error of a view becomes a problem document."""
    problem = as_problem(error)
    headers = _headers(problem)
    if isinstance(error, exceptions.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    return Response(problem.document, status=problem.status_code, headers=headers, content_type=CONTENT_TYPE)


def problem_json(problem: Problem) -> JsonResponse:
    """A problem document from outside DRF."""
    return JsonResponse(
        problem.document, status=problem.status_code, headers=_headers(problem), content_type=CONTENT_TYPE
    )


def _headers(problem: Problem) -> dict[str, str]:
    if problem.headers:
        return dict(problem.headers)
    match problem.status_code:
        case status.HTTP_401_UNAUTHORIZED:
            return {"WWW-Authenticate": 'Bearer realm="agentplatform"'}
        case status.HTTP_503_SERVICE_UNAVAILABLE:
            return {"Retry-After": "5"}
    return {}


def read_only(request: HttpRequest) -> JsonResponse | None:
    """The 405 for a request to a view outside DRF that is neither GET nor HEAD; else None."""
    if request.method in ("GET", "HEAD"):
        return None
    response = problem_json(Problem(405, "method_not_allowed", f'Method "{request.method}" not allowed.'))
    response["Allow"] = "GET, HEAD"
    return response


def as_problem(error: Exception) -> Problem:
    """The problem that an exception of a view amounts to; what was not foreseen is logged."""
    match error:
        case Problem():
            return error
        case exceptions.ValidationError():
            errors = _field_errors(error.detail)
            return Problem(
                400, "invalid_request", "The request body is not valid; see errors.", errors=errors
            )
        case exceptions.ParseError():
            return Problem(400, "malformed_json", str(error.detail))
        case exceptions.NotAuthenticated():
            return Problem(401, "no_api_key", "Send an API key: Authorization: Bearer <key>.")
        case exceptions.AuthenticationFailed():
            return Problem(401, "invalid_api_key", str(error.detail))
        case Http404() | exceptions.NotFound():
            return Problem(404, "not_found", "There is no such thing here, or it is another tenant's.")
        case SuspiciousOperation():
            return Problem(400, "bad_request", "The request has more parameters than are read; send fewer.")
        case PermissionDenied():
            return Problem(403, "forbidden", "This key may not do that.")
        case exceptions.MethodNotAllowed() | exceptions.UnsupportedMediaType() | exceptions.NotAcceptable():
            return Problem(error.status_code, str(error.default_code), str(error.detail))
        case exceptions.APIException():
            return Problem(error.status_code, str(error.default_code), str(error.detail))
    if isinstance(error, OUTAGE_ERRORS):
        logger.error("the database does not answer (%s)", type(error).__name__)
        drop_broken_connections()
        return Problem(
            503, "database_unavailable", "The database does not answer; try again in a few seconds."
        )
    # The traceback without the exception's text, which may quote what a tenant sent.
    trace = "".join(traceback.format_tb(error.__traceback__))
    logger.error("unexpected %s in the API\n%s", type(error).__name__, trace)
    return Problem(500, "internal_error", "An error on our side; it has been logged. Try again.")


def _field_errors(detail: Any, pointer: str = "") -> list[FieldError]:
    if isinstance(detail, Mapping):
        return [
            error
            for name, inner in detail.items()
            for error in _field_errors(
                inner, pointer if name == "non_field_errors" else pointer + json_pointer(name)
            )
        ]
    if isinstance(detail, list):
        nested = all(isinstance(item, Mapping) for item in detail)
        return [
            error
            for index, item in enumerate(detail)
            for error in _field_errors(item, pointer + json_pointer(index) if nested else pointer)
        ]
    return [FieldError(pointer, str(detail))]


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 outside any view, such as for a host that is not ours."""
    return problem_json(
        Problem(400, "bad_request", "The request cannot be read; check its address and its headers.")
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 outside any view: a problem document, with the way to the documentation."""
    return problem_json(
        Problem(404, "not_found", f"Nothing is at {request.path}; see /api/docs/ for what there is.")
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """500 outside any view."""
    return problem_json(
        Problem(500, "internal_error", "An error on our side; it has been logged. Try again.")
    )
