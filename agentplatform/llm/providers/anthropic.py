"""The Anthropic Messages API through its own SDK. Calls always stream, so that they can be broken off."""

from __future__ import annotations

import math
from typing import Any

import anthropic
import httpx2
from anthropic.types import Message, MessageDeltaUsage, RawMessageStreamEvent

from agentplatform.llm.errors import Interrupted, ModelError
from agentplatform.llm.messages import ModelRequest, ModelResponse, Usage
from agentplatform.llm.model import CallContext
from agentplatform.llm.providers.interruption import RequestInFlight, breaks_off, make_interruptible
from agentplatform.llm.providers.output_format import output_format_schema

CONNECT_TIMEOUT_SECONDS = 5.0
IDLE_TIMEOUT_SECONDS = 60.0
MAX_CONNECTIONS = 1000
BYTES_PER_TOKEN = 4
MAX_CODE_CHARACTERS = 64
MAX_NAME_CHARACTERS = 128
"""How much is kept of a provider's error codes, and of its request ids and models' names."""

_TRANSIENT_STATUS = frozenset({408, 409, 429, 500, 502, 503, 504, 529})


class AnthropicModel:
    """Calls one provider that speaks the Messages API. Retries are not made here (`max_retries=0`).

    The SDK's client is made once per process and shared by its threads.
    """

    def __init__(self, *, api_key: str, base_url: str, provider: str = "anthropic") -> None:
        self.provider = provider
        http_client = anthropic.DefaultHttpxClient(
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=100)
        )
        make_interruptible(http_client)
        self._client = anthropic.Anthropic(
            api_key=api_key, base_url=base_url, max_retries=0, http_client=http_client
        )

    def complete(self, request: ModelRequest, context: CallContext) -> ModelResponse:
        """Streams one answer. Raises ModelError, with the usage so far when the provider had begun to work."""
        with breaks_off(context) as in_flight:
            seen = _Seen(request, in_flight)
            try:
                return self._stream(request, context, seen)
            except ModelError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever the SDK makes of a connection or an answer
                if context.must_stop:
                    raise _interrupted(context, seen) from None
                raise _model_error(error, seen) from None

    def _stream(self, request: ModelRequest, context: CallContext, seen: _Seen) -> ModelResponse:
        timeout = httpx2.Timeout(
            min(IDLE_TIMEOUT_SECONDS, max(0.1, context.deadline.seconds_left)),
            connect=CONNECT_TIMEOUT_SECONDS,
        )
        with self._client.messages.stream(**_parameters(request, context.model), timeout=timeout) as stream:
            seen.request_id = (stream.request_id or "")[:MAX_NAME_CHARACTERS]
            for event in stream:
                seen.note(event)  # type: ignore[arg-type]
                if context.must_stop:
                    raise _interrupted(context, seen)
                if context.on_text is not None and event.type == "text":
                    context.on_text(event.text)
            message = stream.get_final_message()
        if message.stop_reason is None:
            raise _broken_off(seen)
        return ModelResponse(
            content=tuple(block.model_dump(mode="json", exclude_none=True) for block in message.content),
            stop_reason=message.stop_reason,
            usage=_usage(message),
            model=message.model[:MAX_NAME_CHARACTERS],
            provider=self.provider,
            request_id=seen.request_id,
        )


class _Seen:
    """What a stream has shown so far: enough to pay for one that breaks off."""

    def __init__(self, request: ModelRequest, in_flight: RequestInFlight) -> None:
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
        started = _usage(self._message)
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
        if usage is None and self._in_flight.sent:
            return Usage(input_tokens=math.ceil(len(self._request.canonical) / BYTES_PER_TOKEN))
        return usage


def _parameters(request: ModelRequest, model: str) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens,
        "messages": list(request.messages),
    }
    if request.system:
        parameters["system"] = request.system
    if request.tools:
        parameters["tools"] = list(request.tools)
    if request.stop_sequences:
        parameters["stop_sequences"] = list(request.stop_sequences)
    if request.output_schema is not None:
        schema = output_format_schema(request.output_schema)
        parameters["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return parameters


def _usage(message: Message) -> Usage:
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


def _interrupted(context: CallContext, seen: _Seen) -> Interrupted:
    code = "deadline_exceeded" if context.deadline.has_passed else "interrupted"
    return Interrupted(
        code,
        "The call was broken off: its step was cancelled, lost its lease, or ran out of time.",
        transient=True,
        usage=seen.usage_of_a_call_given_up(),
        request_id=seen.request_id,
    )


def _model_error(error: Exception, seen: _Seen) -> ModelError:
    if isinstance(error, anthropic.APIStatusError):
        return _status_error(error, seen)
    usage = seen.usage_so_far()
    # A stream that breaks off after its headers raises the transport's errors, not the SDK's.
    if isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException):
        code, message = "timeout", "The provider did not answer in time; the step is tried again by itself."
        usage = seen.usage_of_a_call_given_up()
    elif isinstance(error, anthropic.APIConnectionError | httpx2.HTTPError | httpx2.StreamError | OSError):
        return _broken_off(seen)
    else:
        code = "invalid_response"
        message = f"The provider's answer cannot be read ({type(error).__name__}); the step is tried again."
    return ModelError(code, message, transient=True, usage=usage, request_id=seen.request_id)


def _broken_off(seen: _Seen) -> ModelError:
    return ModelError(
        "connection_error",
        "The connection to the provider broke off; the step is tried again by itself.",
        transient=True,
        usage=seen.usage_so_far(),
        request_id=seen.request_id,
    )


def _status_error(error: anthropic.APIStatusError, seen: _Seen) -> ModelError:
    # The provider's own wording may quote the prompt, so only its type and code are kept.
    status = error.status_code
    code = str(error.error_code or error.type or f"http_{status}")[:MAX_CODE_CHARACTERS]
    return ModelError(
        code,
        f"The provider answered {status} ({code}).",
        transient=status in _TRANSIENT_STATUS or (status == 200 and error.type != "invalid_request_error"),
        retry_after_seconds=_retry_after(error.response),
        usage=seen.usage_so_far(),
        request_id=(error.request_id or seen.request_id)[:MAX_NAME_CHARACTERS],
    )


def _retry_after(response: httpx2.Response) -> float | None:
    for header, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(response.headers[header]) * scale
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None
