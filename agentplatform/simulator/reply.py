"""A finished answer: content blocks, why it stopped, and what it cost in tokens."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentplatform.simulator.identifiers import new_identifier
from agentplatform.simulator.request import MessagesRequest
from agentplatform.simulator.tokens import count_json, count_text, truncate_text


@dataclass(frozen=True, slots=True)
class Draft:
    """What an answer says before limits: a text, a tool call (name and input), or text before a call.

    `schema` is what the call's input, or the text as JSON, was asked to be; a refusal says nothing.
    """

    text: str = ""
    tool_name: str | None = None
    tool_input: Mapping[str, Any] | None = None
    schema: Mapping[str, Any] | None = None
    is_refusal: bool = False


@dataclass(frozen=True, slots=True)
class CachedInput:
    """Input tokens read from the prompt cache and written to it, by time to live."""

    read: int = 0
    written_5m: int = 0
    written_1h: int = 0

    @property
    def written(self) -> int:
        """Tokens written, for either time to live."""
        return self.written_5m + self.written_1h

    @property
    def total(self) -> int:
        """All of them: what `input_tokens` leaves out."""
        return self.read + self.written


NOTHING_CACHED = CachedInput()
_NO_CATEGORY = {"type": "refusal", "category": None, "explanation": None}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer within its limits. `content` holds the API's content blocks.

    `input_tokens` leaves out those read from the prompt cache or written to it, which are `cached`.
    """

    message_id: str
    model_id: str
    content: tuple[dict[str, Any], ...]
    stop_reason: str
    stop_sequence: str | None
    input_tokens: int
    output_tokens: int
    cached: CachedInput = NOTHING_CACHED
    service_tier: str = "standard"
    stop_details: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the answer as the API's message object."""
        return self.envelope() | {
            "content": list(self.content),
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": self.stop_details,
            "usage": self.usage(),
        }

    def envelope(self) -> dict[str, Any]:
        """Return the message object as it stands before any output: what `message_start` carries."""
        return {
            "id": self.message_id,
            "type": "message",
            "role": "assistant",
            "model": self.model_id,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "container": None,
            "usage": self.usage(min(1, self.output_tokens)),
        }

    def usage(self, output_tokens: int | None = None) -> dict[str, Any]:
        """Return the API's usage object, with this much output or all of it."""
        cached = self.cached
        return {
            "input_tokens": self.input_tokens,
            "cache_creation_input_tokens": cached.written,
            "cache_read_input_tokens": cached.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": cached.written_5m,
                "ephemeral_1h_input_tokens": cached.written_1h,
            },
            "output_tokens": self.output_tokens if output_tokens is None else output_tokens,
            "service_tier": self.service_tier,
        }


def finish_reply(
    request: MessagesRequest,
    draft: Draft,
    *,
    prefix: str = "msg",
    cached: CachedInput = NOTHING_CACHED,
    service_tier: str = "standard",
) -> Reply:
    """Apply stop sequences, `max_tokens` and the context window to a draft, and count its tokens.

    `prefix` is that of the message's id.
    """
    text, stop_sequence = _stop_at(draft.text, request.stop_sequences)
    stop_reason = "stop_sequence" if stop_sequence is not None else "end_turn"
    window = request.model.max_input_tokens - request.input_tokens
    limit, reached = request.max_tokens, "max_tokens"
    if window < limit:
        limit, reached = window, "model_context_window_exceeded"
    if count_text(text) > limit:
        text, stop_sequence, stop_reason = truncate_text(text, limit), None, reached
    content: list[dict[str, Any]] = [{"type": "text", "text": text, "citations": None}] if text else []
    output_tokens = count_text(text)
    if draft.tool_name is not None and stop_reason == "end_turn":
        tool_input, fits = _fit_input(draft.tool_input or {}, limit - output_tokens)
        stop_reason = "tool_use" if fits else reached
        output_tokens = limit if not fits else output_tokens + count_json(tool_input)
        content.append(
            {"type": "tool_use", "id": new_identifier("toolu"), "name": draft.tool_name, "input": tool_input}
        )
    if draft.is_refusal:
        stop_reason = "refusal"
    return Reply(
        message_id=new_identifier(prefix),
        model_id=request.model_id,
        content=tuple(content),
        stop_reason=stop_reason,
        stop_sequence=stop_sequence,
        input_tokens=request.input_tokens - cached.total,
        output_tokens=output_tokens,
        cached=cached,
        service_tier=service_tier,
        stop_details=_NO_CATEGORY if draft.is_refusal else None,
    )


def stopped_as(reply: Reply, stop_reason: str) -> Reply:
    """Return a reply that stops for another reason; a refusal says nothing."""
    if stop_reason != "refusal":
        return replace(reply, stop_reason=stop_reason, stop_sequence=None)
    return replace(
        reply,
        content=(),
        output_tokens=0,
        stop_reason="refusal",
        stop_sequence=None,
        stop_details=_NO_CATEGORY,
    )


def compact_json(value: object) -> str:
    """Return a value as the JSON an answer carries."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _stop_at(text: str, sequences: tuple[str, ...]) -> tuple[str, str | None]:
    found = [(text.find(sequence), sequence) for sequence in sequences if sequence in text]
    if not found:
        return text, None
    position, sequence = min(found)
    return text[:position], sequence


def _fit_input(tool_input: Mapping[str, Any], limit: int) -> tuple[dict[str, Any], bool]:
    """Keep the leading properties whose JSON fits the limit, as a call cut short by `max_tokens` would."""
    kept: dict[str, Any] = {}
    for name, value in tool_input.items():
        if count_json(kept | {name: value}) > limit:
            return kept, False
        kept[name] = value
    return kept, count_json(kept) <= limit
