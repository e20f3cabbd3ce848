"""A reply as server-sent events: the API's order, word-sized deltas, and the moment each is due."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from agentplatform.simulator.errors import ApiError
from agentplatform.simulator.reply import Reply, compact_json, usage_json
from agentplatform.simulator.tokens import count_text

_DELTA_CHARACTERS = 16
_WORDS = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One encoded event. `tokens` is what it adds to the output; `is_delta` marks content deltas."""

    data: bytes
    tokens: int = 0
    is_delta: bool = False


def encode_event(name: str, payload: Mapping[str, Any]) -> bytes:
    """Return one server-sent event."""
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(payload) + b"\n\n"


def encode_error(error: ApiError, request_id: str) -> bytes:
    """Return an error as an event within a stream that began with 200."""
    return encode_event("error", error.body(request_id))


def opening_event(reply: Reply) -> bytes:
    """Return `message_start` and the first `ping`."""
    start = encode_event("message_start", {"type": "message_start", "message": reply.envelope()})
    return start + encode_event("ping", {"type": "ping"})


def content_events(reply: Reply) -> Iterator[StreamEvent]:
    """Yield the events between `message_start` and `message_delta`, each content block in turn."""
    for index, block in enumerate(reply.content):
        yield _event("content_block_start", index, content_block=_empty_block(block))
        for part, delta in _deltas(block):
            data = _event("content_block_delta", index, delta=delta).data
            yield StreamEvent(data, tokens=count_text(part), is_delta=True)
        yield _event("content_block_stop", index)


def closing_event(reply: Reply) -> bytes:
    """Return `message_delta` with the cumulative usage, and `message_stop`."""
    usage = usage_json(reply.input_tokens, reply.output_tokens)
    del usage["service_tier"], usage["cache_creation"]
    delta = {"stop_reason": reply.stop_reason, "stop_sequence": reply.stop_sequence, "stop_details": None}
    closing = encode_event("message_delta", {"type": "message_delta", "delta": delta, "usage": usage})
    return closing + encode_event("message_stop", {"type": "message_stop"})


def split_words(text: str) -> list[str]:
    """Split a text into pieces of a few words, which joined give the text again."""
    pieces: list[str] = []
    current = ""
    for word in _WORDS.findall(text) or ([text] if text else []):
        current += word
        if len(current) >= _DELTA_CHARACTERS:
            pieces.append(current)
            current = ""
    return [*pieces, current] if current else pieces


def _event(name: str, index: int, **fields: Any) -> StreamEvent:
    return StreamEvent(encode_event(name, {"type": name, "index": index, **fields}))


def _empty_block(block: Mapping[str, Any]) -> dict[str, Any]:
    return {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}


def _deltas(block: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if block["type"] == "text":
        for part in split_words(block["text"]):
            yield part, {"type": "text_delta", "text": part}
    else:
        for part in ["", *split_words(compact_json(block["input"]))]:
            yield part, {"type": "input_json_delta", "partial_json": part}
