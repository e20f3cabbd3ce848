"""Whether a model answers a prompt rightly, and what a wrong answer looks like.

Each prompt has a difficulty in [0, 1), drawn from the seed and the prompt alone; a model answers rightly
where the difficulty is below its share. So what a lesser model gets right, a better one gets right too.
A wrong answer is one that a step's own check can see: a schema's field missing or mistyped, no text, a refusal.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from agentplatform.simulator.provider_settings import Quality
from agentplatform.simulator.reply import Draft, compact_json
from agentplatform.simulator.request import MessagesRequest


def prompt_difficulty(seed: int, request: MessagesRequest) -> float:
    """Return the difficulty of a prompt; cache breakpoints, limits and the model do not count."""
    return _draw(f"{seed}:difficulty", _digest(request))


def answers_rightly(quality: Quality, request: MessagesRequest) -> bool:
    """Whether the model a request names answers it rightly."""
    return prompt_difficulty(quality.seed, request) < quality.by_model.get(request.model.id, 1.0)


def spoil(draft: Draft, quality: Quality, request: MessagesRequest) -> Draft:
    """Return a wrong answer in place of a right one."""
    draw = _draw(f"{quality.seed}:{request.model.id}", _digest(request))
    if draft.schema is None:
        return Draft(is_refusal=draw < 0.5)
    if draft.tool_name is not None:
        return replace(draft, tool_input=_spoil_object(draft.tool_input or {}, draft.schema, draw))
    return replace(draft, text=compact_json(_spoil_object(json.loads(draft.text), draft.schema, draw)))


def _spoil_object(value: Mapping[str, Any], schema: Mapping[str, Any], draw: float) -> dict[str, Any]:
    """Leave out one required field, or give a field another type."""
    required = [name for name in schema.get("required", ()) if name in value]
    names = required or list(value)
    spoiled = dict(value)
    if not names:
        return spoiled | {"": None}
    place = draw * len(names)
    name = names[int(place)]
    if required and place % 1 < 0.5:
        del spoiled[name]
    else:
        spoiled[name] = "" if isinstance(value[name], dict) else {"": None}
    return spoiled


def _digest(request: MessagesRequest) -> bytes:
    prompt = [request.messages, request.system, request.tools, request.output_schema]
    return hashlib.sha256(orjson.dumps(_plain(prompt))).digest()


def _plain(value: Any) -> Any:
    """Return a prompt without its cache breakpoints, which are no part of what is asked."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items() if name != "cache_control"}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _draw(salt: str, digest: bytes) -> float:
    drawn = hashlib.sha256(salt.encode() + digest).digest()
    return int.from_bytes(drawn[:7], "big") / 2**56
