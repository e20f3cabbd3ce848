"""Errors in the shape the API documents: `{"type": "error", "error": {...}, "request_id": ...}`."""

from collections.abc import Mapping
from typing import Any

import orjson

ERROR_TYPE_BY_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_type_for(status: int) -> str:
    """Return the error type the API documents for an HTTP status, by class where it names none."""
    return ERROR_TYPE_BY_STATUS.get(status, "invalid_request_error" if status < 500 else "api_error")


class ApiError(Exception):
    """An error to answer a request with.

    `error_code` becomes `error.details.error_code`; `retry_after` (seconds) becomes the `retry-after` header,
    beside the other `headers`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error_type: str | None = None,
        error_code: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.error_type = error_type or error_type_for(status)
        self.error_code = error_code
        self.retry_after = retry_after
        self._headers = headers or {}

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the response body for this error."""
        error: dict[str, Any] = {"type": self.error_type, "message": self.message}
        if self.error_code is not None:
            error["details"] = {"error_code": self.error_code}
        return {"type": "error", "error": error, "request_id": request_id}

    def headers(self) -> dict[str, str]:
        """Return the response headers this error adds."""
        retry = {} if self.retry_after is None else {"retry-after": f"{self.retry_after:g}"}
        return {**self._headers, **retry}

    def encoded(self, request_id: str) -> bytes:
        """Return the response body as JSON."""
        return orjson.dumps(self.body(request_id))


def invalid_request(message: str) -> ApiError:
    """Return a 400 `invalid_request_error` with this message."""
    return ApiError(400, message)
