"""What a provider's dialect decides; the answer itself is the same in all of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from agentplatform.simulator.errors import ApiError
from agentplatform.simulator.reply import Reply


class Caller(NamedTuple):
    """Who calls: the provider reached and the key used, which has buckets of its own."""

    provider: str
    key: str


class ErrorResponse(NamedTuple):
    """An error as it is sent."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


class Dialect(Protocol):
    """One provider's shape of the Messages API."""

    stream_content_type: str
    message_prefix: str
    sends_rate_limit_headers: bool

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return who is calling; raises ApiError where the credentials are missing or not the configured ones."""

    def prepare(
        self, fields: dict[str, Any], path: Mapping[str, Any], headers: Mapping[str, str]
    ) -> tuple[dict[str, Any], str]:
        """Return the body as `POST /v1/messages` takes it and the API's version; raises ApiError."""

    def frame(self, name: str, payload: bytes) -> bytes:
        """Return one event of a stream; empty for an event this provider does not send."""

    def frame_error(self, error: ApiError, request_id: str) -> bytes:
        """Return an error within a stream that began with 200."""

    def error_response(self, error: ApiError, request_id: str) -> ErrorResponse:
        """Return an error as this provider shapes it."""

    def usage_headers(self, reply: Reply) -> dict[str, str]:
        """Return the headers that repeat a message's usage."""
