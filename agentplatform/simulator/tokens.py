"""Deterministic token counting: a quarter of the UTF-8 bytes, plus a little for each message and tool.

The real tokenizer is not public; what matters here is that counts are stable, grow with the text and never
exceed its bytes plus the overheads below.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

BYTES_PER_TOKEN = 4
REQUEST_OVERHEAD_TOKENS = 3
MESSAGE_OVERHEAD_TOKENS = 4
TOOL_OVERHEAD_TOKENS = 8
MEDIA_TOKENS = 1_500
_MEDIA_SOURCES = frozenset({"base64", "url", "file"})


def count_text(text: str) -> int:
    """Return the tokens of a text: its UTF-8 length over four, rounded up."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)


def count_json(value: object) -> int:
    """Return the tokens of a value written as compact JSON."""
    return count_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def truncate_text(text: str, limit: int) -> str:
    """Return the longest prefix of `text` that counts at most `limit` tokens, whole characters only."""
    return text.encode("utf-8", "surrogatepass")[: limit * BYTES_PER_TOKEN].decode("utf-8", "ignore")


def count_input(
    messages: Iterable[Mapping[str, Any]], system: str, tools: Iterable[Mapping[str, Any]], schema: object
) -> int:
    """Return the input tokens of a request: messages, system prompt, tools and output schema together."""
    total = REQUEST_OVERHEAD_TOKENS + count_text(system)
    for message in messages:
        total += MESSAGE_OVERHEAD_TOKENS + _count_content(message["content"])
    for tool in tools:
        total += count_tool(tool)
    return total + (count_json(schema) if schema is not None else 0)


def count_tool(tool: Mapping[str, Any]) -> int:
    """Return the tokens of a tool's definition."""
    return TOOL_OVERHEAD_TOKENS + count_json(
        [tool["name"], tool.get("description", ""), tool["input_schema"]]
    )


def _count_content(content: object) -> int:
    if isinstance(content, str):
        return count_text(content)
    return sum(count_block(block) for block in content) if isinstance(content, list) else 0


def count_block(block: Mapping[str, Any]) -> int:
    """Return the tokens of a content block, with those it holds."""
    source = block.get("source")
    if isinstance(source, Mapping) and source.get("type") in _MEDIA_SOURCES:
        return MEDIA_TOKENS
    match block["type"]:
        case "text":
            return count_text(block["text"])
        case "tool_result":
            return MESSAGE_OVERHEAD_TOKENS + _count_content(block.get("content"))
        case _:
            return count_json({key: value for key, value in block.items() if key != "cache_control"})
