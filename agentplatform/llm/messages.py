"""Requests to models and their responses, as plain data."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import orjson

from agentplatform.llm.caching.policy import NOT_CACHED, CachePolicy
from agentplatform.llm.tiers import Tier

OVERHEAD_TOKENS = 500
"""What a provider adds to a prompt on its own account, tools included, at most."""

BYTES_PER_TOKEN = 4
"""How many bytes of UTF-8 make a token, about: for estimates, not for money."""


@dataclass(frozen=True)
class ModelRequest:
    """One call to a model. `messages` and `tools` have the shape of the Anthropic Messages API.

    `tier` pins the tier; without one the gateway chooses it by the request's complexity, from `min_tier` up.
    `shared_context` comes before the first message, and is the same in many requests: a provider may cache it.
    `document` is the text that the messages speak of, and comes before them; it is divided where it is too large.
    With an `output_schema` (JSON Schema of an object) the model answers in JSON of that shape. A model is held to the
    types, names and enumerations of a schema, not to its limits: validate the answer.
    An answer that is empty, refused or not of its schema is asked for once more on the next tier, unless `escalates`
    is false or the tier is pinned; `escalated_from` is the tier whose answer was not good enough.
    `tool_choice` is "" where the model is free to use the tools, or "none".
    `asked` is what the user wants to know, where the messages hold much more: then its complexity is the request's.
    `cache` says whether its answer may be kept and given again. One that may serve a question in other words needs
    `asked`, and `depends_on`: all else that the answer depends on and that the other request must share.
    `prompt_cache_ttl` ("5m", "1h", or "" for none) is the gateway's to set, and no part of what is asked.
    """

    tier: Tier | None
    messages: tuple[Mapping[str, Any], ...]
    max_tokens: int
    system: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    stop_sequences: tuple[str, ...] = ()
    output_schema: Mapping[str, Any] | None = None
    shared_context: str = ""
    document: str = ""
    min_tier: Tier | None = None
    use_case: str = ""
    escalated_from: Tier | None = None
    tool_choice: str = ""
    asked: str = field(default="", compare=False)
    cache: CachePolicy = field(default=NOT_CACHED, compare=False)
    depends_on: tuple[str, ...] | None = field(default=None, compare=False)
    escalates: bool = field(default=True, compare=False)
    prompt_cache_ttl: str = field(default="", compare=False)

    @cached_property
    def canonical(self) -> bytes:
        """The request as canonical JSON in UTF-8. What was added to requests later is left out where it is not used.

        Made once: every layer of the gateway asks for it or for its size.
        """
        data: dict[str, Any] = {
            "tier": self.tier,
            "messages": self.messages,
            "max_tokens": self.max_tokens,
            "system": self.system,
            "tools": self.tools,
            "stop_sequences": self.stop_sequences,
        }
        for name in (
            "output_schema",
            "shared_context",
            "document",
            "min_tier",
            "use_case",
            "escalated_from",
            "tool_choice",
        ):
            value = getattr(self, name)
            if value:
                data[name] = value
        return orjson.dumps(data, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes a request that is sent in the same words."""
        return {**orjson.loads(self.canonical), "prompt_cache_ttl": self.prompt_cache_ttl}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The request that `to_json` wrote."""
        tiers = {
            name: Tier(data[name]) if data.get(name) else None
            for name in ("tier", "min_tier", "escalated_from")
        }
        lists = {name: tuple(data[name]) for name in ("messages", "tools", "stop_sequences")}
        return cls(**{**data, **tiers, **lists})

    @property
    def content_hash(self) -> str:
        """SHA-256 over the canonical JSON: the same request, byte for byte."""
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def input_bound_tokens(self) -> int:
        """More input tokens than it can be: a token is at least a byte, and the JSON adds what a model wraps it in."""
        return len(self.canonical) + OVERHEAD_TOKENS

    @property
    def input_estimate_tokens(self) -> int:
        """About how many input tokens it is; see `count_tokens` of a provider for the exact number."""
        return math.ceil(len(self.canonical) / BYTES_PER_TOKEN)


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

    @property
    def uncached(self) -> Usage:
        """The same tokens, with nothing written to or read from a cache."""
        return Usage(self.total_input_tokens, self.output_tokens)

    def to_json(self) -> dict[str, int]:
        """The buckets by their names."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_write_5m_tokens": self.cache_write_5m_tokens,
            "cache_write_1h_tokens": self.cache_write_1h_tokens,
            "cache_read_tokens": self.cache_read_tokens,
        }


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """What a model answered. `content` has the blocks of the Messages API; `text` is their text, joined.

    `model` is what the provider calls it, and `tier` the tier that it served.
    """

    content: tuple[Mapping[str, Any], ...]
    stop_reason: str
    usage: Usage
    model: str
    provider: str
    request_id: str = ""
    tier: str = ""
    replayed: bool = field(default=False, compare=False)

    @property
    def text(self) -> str:
        return "".join(str(block.get("text", "")) for block in self.content if block.get("type") == "text")

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal response."""
        return {
            "content": self.content,
            "stop_reason": self.stop_reason,
            "usage": self.usage.to_json(),
            "model": self.model,
            "provider": self.provider,
            "request_id": self.request_id,
            "tier": self.tier,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The response that `to_json` wrote, marked as replayed."""
        return cls(
            **{**data, "content": tuple(data["content"]), "usage": Usage(**data["usage"])}, replayed=True
        )
