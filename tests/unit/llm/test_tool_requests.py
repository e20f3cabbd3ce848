"""Requests that offer tools, and answers that ask for them."""

from __future__ import annotations

import uuid
from dataclasses import replace

import orjson
from anthropic.types import Message

from agentplatform.llm.caching.keys import cache_key
from agentplatform.llm.caching.policy import CachePolicy, Caching
from agentplatform.llm.messages import ModelRequest
from agentplatform.llm.providers.parameters import parameters_of
from agentplatform.llm.providers.seen import response_of
from agentplatform.llm.tiers import Tier

TOOL = {"name": "lookup", "description": "Looks up.", "input_schema": {"type": "object"}}
FREE = ModelRequest(Tier.FAST, ({"role": "user", "content": "hi"},), 100, tools=(TOOL,))
BOUND = replace(FREE, tool_choice="none")
ONE = uuid.UUID(int=1)


def key_of(request: ModelRequest) -> str:
    return cache_key(request, CachePolicy(Caching.EXACT), ONE, "agent", None).key_hash


def test_a_model_is_told_when_it_may_use_no_tool() -> None:
    """The tools stay in the request: the conversation speaks of them."""
    assert "tool_choice" not in parameters_of(FREE, "m")
    assert parameters_of(BOUND, "m")["tool_choice"] == {"type": "none"}
    assert parameters_of(BOUND, "m")["tools"] == [TOOL]


def test_it_is_a_part_of_what_is_asked() -> None:
    """An answer without tools is not given where the model is free to use them; what has been asked before keeps its hash."""
    assert FREE.content_hash != BOUND.content_hash
    assert b"tool_choice" not in FREE.canonical
    assert key_of(FREE) != key_of(BOUND)
    assert ModelRequest.from_json(BOUND.to_json()).tool_choice == "none"


def test_input_of_a_tool_can_be_stored_whatever_numbers_it_holds() -> None:
    """A number beyond 64 bits would be taken neither by the journal nor by the database."""
    message = Message.model_validate(
        {
            "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
            "usage": {"input_tokens": 1, "output_tokens": 1},
            "content": [
                {"type": "tool_use", "id": "t", "name": "lookup", "input": {"n": [10**30, 7], "m": 10**400}}
            ],
        }
    )  # fmt: skip
    (block,) = response_of(message, "anthropic", "r").content
    assert block["input"] == {"n": [1e30, 7], "m": str(10**400)}
    assert orjson.dumps(block)
