"""Anthropic's own API, under whatever base URL."""

from collections.abc import Mapping
from typing import Any

from agentplatform.simulator.authentication import SECOND_PROVIDER, api_version, authenticate, check_key
from agentplatform.simulator.dialects.dialect import Caller, ErrorResponse
from agentplatform.simulator.errors import ApiError
from agentplatform.simulator.reply import Reply
from agentplatform.simulator.streaming import frame_event


class FirstPartyDialect:
    """Any key is accepted, and may name its provider; Server-Sent Events."""

    stream_content_type = "text/event-stream; charset=utf-8"
    message_prefix = "msg"
    sends_rate_limit_headers = True

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return the provider the key stands for; raises a 401 where there is no key."""
        provider, key = authenticate(headers)
        return Caller(provider, key)

    def prepare(
        self, fields: dict[str, Any], path: Mapping[str, Any], headers: Mapping[str, str]
    ) -> tuple[dict[str, Any], str]:
        """Return the body as it is and the version its header names."""
        return fields, api_version(headers)

    def frame(self, name: str, payload: bytes) -> bytes:
        """Return one Server-Sent Event."""
        return frame_event(name, payload)

    def frame_error(self, error: ApiError, request_id: str) -> bytes:
        """Return an `error` event."""
        return frame_event("error", error.encoded(request_id))

    def error_response(self, error: ApiError, request_id: str) -> ErrorResponse:
        """Return the documented error object."""
        return ErrorResponse(error.status, error.body(request_id), error.headers())

    def usage_headers(self, reply: Reply) -> dict[str, str]:
        """Return nothing more than the body says, but for the organisation."""
        return {"anthropic-organization-id": "simulator"}


class SecondDialect(FirstPartyDialect):
    """The same API at another base URL, with one key of its own."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return the second provider; raises a 401 for any key but the configured one."""
        return Caller(SECOND_PROVIDER, check_key(headers, self._api_key))
