"""A reply as a stream: the API's events in their order, word-sized deltas, and the moment each is due.

How an event is framed is the provider's: a `Frame` takes its name and its JSON.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from agentplatform.simulator.reply import Reply, compact_json
from agentplatform.simulator.tokens import count_text

Frame = Callable[[str, bytes], bytes]
_DELTA_CHARACTERS = 16
_WORDS = re.compile(r"\s*\S+\s*")


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One framed event. `tokens` is what it adds to the output; `is_delta` marks content deltas."""

    data: bytes
    tokens: int = 0
    is_delta: bool = False


def frame_event(name: str, payload: bytes) -> bytes:
    """Return one server-sent event."""
    return b"event: " + name.encode() + b"\ndata: " + payload + b"\n\n"


def opening_event(reply: Reply, frame: Frame) -> bytes:
    """Return `message_start` and the first `ping`."""
    start = orjson.dumps({"type": "message_start", "message": reply.envelope()})
    return frame("message_start", start) + frame("ping", b'{"type":"ping"}')


def content_events(reply: Reply, frame: Frame) -> Iterator[StreamEvent]:
    """Yield the events between `message_start` and `message_delta`, each content block in turn."""
    for index, block in enumerate(reply.content):
        yield StreamEvent(_event(frame, "content_block_start", index, content_block=_empty_block(block)))
        for part, delta in _deltas(block):
            data = _event(frame, "content_block_delta", index, delta=delta)
            yield StreamEvent(data, tokens=count_text(part), is_delta=True)
        yield StreamEvent(_event(frame, "content_block_stop", index))


def closing_event(reply: Reply, frame: Frame) -> bytes:
    """Return `message_delta` with the cumulative usage, and `message_stop`."""
    usage = reply.usage()
    del usage["service_tier"], usage["cache_creation"]
    delta = {
        "stop_reason": reply.stop_reason,
        "stop_sequence": reply.stop_sequence,
        "stop_details": reply.stop_details,
    }
    closing = orjson.dumps({"type": "message_delta", "delta": delta, "usage": usage})
    return frame("message_delta", closing) + frame("message_stop", b'{"type":"message_stop"}')


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


def _event(frame: Frame, name: str, index: int, **fields: Any) -> bytes:
    return frame(name, orjson.dumps({"type": name, "index": index, **fields}))


def _empty_block(block: Mapping[str, Any]) -> dict[str, Any]:
    return {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}


def _deltas(block: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if block["type"] == "text":
        for part in split_words(block["text"]):
            yield part, {"type": "text_delta", "text": part}
    else:
        for part in ["", *split_words(compact_json(block["input"]))]:
            yield part, {"type": "input_json_delta", "partial_json": part}
