"""What a stream has shown so far: enough to pay for one that breaks off."""

from __future__ import annotations

import math
from typing import Any

from anthropic.types import Message, MessageDeltaUsage, RawMessageStreamEvent

from agentplatform.llm.messages import BYTES_PER_TOKEN, ModelRequest, ModelResponse, Usage
from agentplatform.llm.providers.interruption import RequestInFlight

MAX_NAME_CHARACTERS = 128
"""How much is kept of a provider's request ids and models' names."""
MAX_INTEGER = 2**63 - 1


class Seen:
    """One stream, as far as it has come; without a request, an exchange that nothing is billed for."""

    def __init__(self, request: ModelRequest | None = None, in_flight: RequestInFlight | None = None) -> None:
        self.request_id = ""
        self._request = request
        self._in_flight = in_flight
        self._message: Message | None = None
        self._delta: MessageDeltaUsage | None = None
        self._output_bytes = 0

    def note(self, event: RawMessageStreamEvent) -> None:
        if event.type == "message_start":
            self._message = event.message
        elif event.type == "message_delta":
            self._delta = event.usage
        elif event.type == "content_block_delta":
            delta = event.delta
            text = getattr(delta, "text", None) or getattr(delta, "partial_json", None) or ""
            self._output_bytes += len(text.encode())

    def usage_so_far(self) -> Usage | None:
        """Input as reported, output as reported or else estimated from the bytes received; None before the start."""
        if self._message is None:
            return None
        started = usage_of(self._message)
        estimated = math.ceil(self._output_bytes / BYTES_PER_TOKEN)
        reported = self._delta.output_tokens if self._delta else 0
        return Usage(
            input_tokens=started.input_tokens,
            output_tokens=max(estimated, reported, started.output_tokens),
            cache_write_5m_tokens=started.cache_write_5m_tokens,
            cache_write_1h_tokens=started.cache_write_1h_tokens,
            cache_read_tokens=started.cache_read_tokens,
        )

    def usage_of_a_call_given_up(self) -> Usage | None:
        """As `usage_so_far`; before the start, an estimate of the input that was sent: the provider works on it."""
        usage = self.usage_so_far()
        if (
            usage is None
            and self._request is not None
            and self._in_flight is not None
            and self._in_flight.sent
        ):
            return Usage(input_tokens=math.ceil(len(self._request.canonical) / BYTES_PER_TOKEN))
        return usage


def usage_of(message: Message) -> Usage:
    """The token buckets that a message reports."""
    usage = message.usage
    written = usage.cache_creation_input_tokens or 0
    written_1h = usage.cache_creation.ephemeral_1h_input_tokens if usage.cache_creation else 0
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_write_5m_tokens=written - written_1h,
        cache_write_1h_tokens=written_1h,
        cache_read_tokens=usage.cache_read_input_tokens or 0,
    )


def response_of(message: Message, provider: str, request_id: str) -> ModelResponse:
    """A whole message as a response. One without a stop reason is not whole."""
    assert message.stop_reason is not None
    return ModelResponse(
        content=tuple(
            _storable(block.model_dump(mode="json", exclude_none=True)) for block in message.content
        ),
        stop_reason=message.stop_reason,
        usage=usage_of(message),
        model=message.model[:MAX_NAME_CHARACTERS],
        provider=provider,
        request_id=request_id,
    )


def _storable(value: Any) -> Any:
    """The value with whole numbers that JSON's readers do not take, as a tool's input may have, made into floats."""
    if isinstance(value, dict):
        return {name: _storable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -MAX_INTEGER <= value <= MAX_INTEGER:
        return float(value) if abs(value) < 10**300 else str(value)
    return value
