"""Requests to models and their responses, as plain data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from agentplatform.llm.tiers import Tier

OVERHEAD_TOKENS = 500
"""What a provider adds to a prompt on its own account, tools included, at most."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call to a model. `messages` and `tools` have the shape of the Anthropic Messages API.

    With an `output_schema` (JSON Schema of an object) the model answers in JSON of that shape. A model is held to the
    types, names and enumerations of a schema, not to its limits: validate the answer.
    """

    tier: Tier
    messages: tuple[Mapping[str, Any], ...]
    max_tokens: int
    system: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    stop_sequences: tuple[str, ...] = ()
    output_schema: Mapping[str, Any] | None = None

    @property
    def canonical(self) -> bytes:
        """The request as canonical JSON in UTF-8."""
        data = asdict(self)
        if self.output_schema is None:
            del data["output_schema"]
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode()

    @property
    def content_hash(self) -> str:
        """SHA-256 over the canonical JSON: the same request, byte for byte."""
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def input_bound_tokens(self) -> int:
        """More input tokens than it can be: a token is at least a byte, and the JSON adds what a model wraps it in."""
        return len(self.canonical) + OVERHEAD_TOKENS


@dataclass(frozen=True, slots=True)
class Usage:
    """Token buckets as providers report them: `input_tokens` excludes what was written to or read from cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_read_tokens: int = 0

    @property
    def total_input_tokens(self) -> int:
        return (
            self.input_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.cache_read_tokens
        )


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """What a model answered. `content` has the blocks of the Messages API; `text` is their text, joined."""

    content: tuple[Mapping[str, Any], ...]
    stop_reason: str
    usage: Usage
    model: str
    provider: str
    request_id: str = ""
    replayed: bool = field(default=False, compare=False)

    @property
    def text(self) -> str:
        return "".join(str(block.get("text", "")) for block in self.content if block.get("type") == "text")

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal response."""
        data = asdict(self)
        del data["replayed"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The response that `to_json` wrote, marked as replayed."""
        return cls(
            **{**data, "content": tuple(data["content"]), "usage": Usage(**data["usage"])}, replayed=True
        )
