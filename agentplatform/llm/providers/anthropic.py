"""Providers of Claude models, through the clients of the SDK. Calls always stream, so that they can be broken off."""

from __future__ import annotations

import anthropic
import httpx2

from agentplatform.llm.errors import Interrupted, ModelError
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.llm.model import CallContext
from agentplatform.llm.providers.batches import AnthropicBatches
from agentplatform.llm.providers.clients import CONNECT_TIMEOUT_SECONDS, Client
from agentplatform.llm.providers.failures import broken_off, failure_of
from agentplatform.llm.providers.interruption import breaks_off
from agentplatform.llm.providers.parameters import parameters_of
from agentplatform.llm.providers.rates import rates_of
from agentplatform.llm.providers.seen import MAX_NAME_CHARACTERS, Seen, response_of

IDLE_TIMEOUT_SECONDS = 60.0


class AnthropicModel:
    """Calls one provider that speaks the Messages API. Retries are not made here.

    `client` is one of the SDK's clients, with `max_retries=0`, made once per process and shared by its threads.
    """

    def __init__(self, client: Client, *, provider: str) -> None:
        self.provider = provider
        self._client = client

    def complete(self, request: ModelRequest, context: CallContext) -> ModelResponse:
        """Streams one answer. Raises ModelError, with the usage so far when the provider had begun to work."""
        with breaks_off(context) as in_flight:
            seen = Seen(request, in_flight)
            try:
                return self._stream(request, context, seen)
            except ModelError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever the SDK makes of a connection or an answer
                if context.must_stop:
                    raise _interrupted(context, seen) from None
                if isinstance(error, anthropic.APIStatusError):
                    context.rates = rates_of(error.response.headers) or context.rates
                raise failure_of(error, seen) from None

    @property
    def batches(self) -> AnthropicBatches:
        """Its Message Batches. Raises ModelError where it has none."""
        if not isinstance(self._client, anthropic.Anthropic):
            raise ModelError(
                "no_batches",
                f"Provider '{self.provider}' is of a kind that takes no batches.",
                transient=False,
            )
        return AnthropicBatches(self._client, provider=self.provider)

    def count_tokens(self, request: ModelRequest, model: str, context: CallContext) -> int | None:
        """How many input tokens the request has; None where the provider does not count. Raises ModelError."""
        if isinstance(self._client, anthropic.AnthropicBedrock):
            return None
        parameters = parameters_of(request, model)
        del parameters["max_tokens"]
        parameters.pop("stop_sequences", None)
        with breaks_off(context) as in_flight:
            try:
                counted = self._client.messages.count_tokens(**parameters, timeout=_timeout(context))
            except Exception as error:  # noqa: BLE001 - whatever the SDK makes of a connection or an answer
                raise failure_of(error, Seen(request, in_flight)) from None
        return counted.input_tokens

    def _stream(self, request: ModelRequest, context: CallContext, seen: Seen) -> ModelResponse:
        parameters = parameters_of(request, context.model)
        with self._client.messages.stream(**parameters, timeout=_timeout(context)) as stream:
            context.rates = rates_of(stream.response.headers)
            seen.request_id = (stream.request_id or "")[:MAX_NAME_CHARACTERS]
            for event in stream:
                seen.note(event)  # type: ignore[arg-type]
                if context.must_stop:
                    raise _interrupted(context, seen)
                if event.type == "text":
                    context.text(event.text)
            message = stream.get_final_message()
        if message.stop_reason is None:
            raise broken_off(seen)
        return response_of(message, self.provider, seen.request_id)


def _timeout(context: CallContext) -> httpx2.Timeout:
    idle = min(IDLE_TIMEOUT_SECONDS, max(0.1, context.deadline.seconds_left))
    return httpx2.Timeout(idle, connect=CONNECT_TIMEOUT_SECONDS)


def _interrupted(context: CallContext, seen: Seen) -> Interrupted:
    code = "deadline_exceeded" if context.deadline.has_passed else "interrupted"
    return Interrupted(
        code,
        "The call was broken off: its step was cancelled, lost its lease, or ran out of time.",
        transient=True,
        usage=seen.usage_of_a_call_given_up(),
        request_id=seen.request_id,
    )
