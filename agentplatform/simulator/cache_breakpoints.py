"""The prefix of a request as the prompt cache sees it: blocks in the order tools, system, messages.

Each block has a digest of everything up to and including it, so that two requests share a prefix exactly
where their digests agree.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from agentplatform.simulator.errors import invalid_request
from agentplatform.simulator.tokens import (
    BYTES_PER_TOKEN,
    MESSAGE_OVERHEAD_TOKENS,
    count_block,
    count_json,
    count_text,
    count_tool,
)

MAX_BREAKPOINTS = 4
_TTL_SECONDS = {"5m": 300, "1h": 3_600}
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class PrefixBlock:
    """One block: digest and tokens of the prefix that ends with it, and its time to live if it is a breakpoint."""

    digest: bytes
    tokens: int
    ttl_seconds: int | None


def read_prefix(fields: Mapping[str, Any], schema: object) -> tuple[PrefixBlock, ...]:
    """Return the blocks of a checked request with breakpoints; empty for one without.

    Raises a 400 for more than four breakpoints, a malformed one, and 1 h after 5 m.
    """
    found = sum(_count_breakpoints(fields.get(name)) for name in ("tools", "system", "messages"))
    automatic = fields.get("cache_control")
    found += automatic is not None
    if not found:
        return ()
    if found > MAX_BREAKPOINTS:
        raise invalid_request(
            f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {found}."
        )
    blocks = list(_chain(fields, schema))
    if automatic is not None and blocks:
        last = blocks[-1]
        ttl = last.ttl_seconds or _ttl_of(automatic, "cache_control")
        blocks[-1] = PrefixBlock(last.digest, last.tokens, ttl)
    _check_order(blocks)
    return tuple(blocks)


def _chain(fields: Mapping[str, Any], schema: object) -> Iterator[PrefixBlock]:
    running = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    running.update(orjson.dumps(schema))
    total = 0 if schema is None else count_json(schema)
    for index, (tokens, block) in enumerate(_tools(fields)):
        total += tokens
        yield _block(running, total, b"tool", block, f"tools.{index}")
    before_system, size = total, 0
    for index, block in enumerate(_system(fields)):
        size += len(block["text"].encode("utf-8", "surrogatepass")) + (2 if index else 0)
        total = before_system - (-size // BYTES_PER_TOKEN)
        yield _block(running, total, b"system", block, f"system.{index}")
    # A change of these leaves tools and system in the cache, and no message.
    running.update(orjson.dumps([fields.get("tool_choice"), fields.get("thinking")]))
    for path, role, tokens, block in _message_blocks(fields["messages"]):
        total += tokens
        yield _block(running, total, role, block, path)


def _block(running: Any, total: int, level: bytes, block: Mapping[str, Any], path: str) -> PrefixBlock:
    content = orjson.dumps(_without_cache_control(block))
    running.update(b"%s %d " % (level, len(content)))
    running.update(content)
    return PrefixBlock(running.digest(), total, _ttl_within(block, path))


def _tools(fields: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for tool in fields.get("tools") or ():
        yield count_tool(tool), tool


def _system(fields: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    system = fields.get("system") or []
    return [{"type": "text", "text": system}] if isinstance(system, str) else system


def _message_blocks(
    messages: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, bytes, int, Mapping[str, Any]]]:
    for number, message in enumerate(messages):
        content, role = message["content"], message["role"].encode()
        overhead = MESSAGE_OVERHEAD_TOKENS
        if isinstance(content, str):
            text = {"type": "text", "text": content}
            yield f"messages.{number}", role, overhead + count_text(content), text
            continue
        for index, block in enumerate(content):
            yield f"messages.{number}.content.{index}", role, overhead + count_block(block), block
            overhead = 0


def _ttl_within(block: Mapping[str, Any], path: str) -> int | None:
    """Return the longest time to live of a block and of those it holds."""
    own = block.get("cache_control")
    ttls = [] if own is None else [_ttl_of(own, f"{path}.cache_control")]
    content = block.get("content")
    if isinstance(content, list):
        for index, inner in enumerate(content):
            ttl = _ttl_within(inner, f"{path}.content.{index}") if isinstance(inner, dict) else None
            if ttl is not None:
                ttls.append(ttl)
    return max(ttls, default=None)


def _ttl_of(cache_control: object, path: str) -> int:
    if not isinstance(cache_control, dict) or cache_control.get("type") != "ephemeral":
        raise invalid_request(f"{path}.type: Input should be 'ephemeral'")
    ttl = cache_control.get("ttl", "5m")
    if not isinstance(ttl, str) or ttl not in _TTL_SECONDS:
        raise invalid_request(f"{path}.ttl: Input should be '5m' or '1h'")
    return _TTL_SECONDS[ttl]


def _check_order(blocks: Sequence[PrefixBlock]) -> None:
    ttls = [block.ttl_seconds for block in blocks if block.ttl_seconds is not None]
    if ttls != sorted(ttls, reverse=True):
        raise invalid_request(
            "cache_control.ttl: a ttl='1h' block must not come after a ttl='5m' block. Blocks are processed in"
            " the order tools, system, messages."
        )


def _without_cache_control(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_cache_control(item) for name, item in value.items() if name != "cache_control"}
    if isinstance(value, list):
        return [_without_cache_control(item) for item in value]
    return value


def _count_breakpoints(value: object) -> int:
    if isinstance(value, list):
        return sum(_count_breakpoints(item) for item in value)
    if isinstance(value, dict):
        own = value.get("cache_control") is not None
        return own + _count_breakpoints(value.get("content"))
    return 0
