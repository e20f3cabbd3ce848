"""Checks of the conversation: roles, content blocks, and that each tool call has its result."""

from collections.abc import Mapping, Sequence
from typing import Any

from agentplatform.simulator.errors import invalid_request
from agentplatform.simulator.models import SimulatedModel

_ROLES = ("user", "assistant", "system")
_STRING_FIELDS = {
    "text": ("text",),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
    "tool_use": ("id", "name"),
    "tool_result": ("tool_use_id",),
    "image": (),
    "document": (),
    "search_result": ("source", "title"),
}
_RESULT_BLOCKS = ("text", "image", "document", "search_result")
_MAX_MESSAGES = 100_000


def check_messages(
    messages: object, model: SimulatedModel, *, has_tools: bool
) -> tuple[Mapping[str, Any], ...]:
    """Return the messages once they are known to be a conversation; raises a 400 naming the first fault."""
    if not isinstance(messages, list):
        raise invalid_request("messages: Input should be a valid list")
    if not messages:
        raise invalid_request("messages: at least one message is required")
    if len(messages) > _MAX_MESSAGES:
        raise invalid_request(f"messages: at most {_MAX_MESSAGES} messages are allowed")
    for index, message in enumerate(messages):
        _check_message(message, f"messages.{index}", is_last=index == len(messages) - 1)
    if messages[0]["role"] == "assistant":
        raise invalid_request('messages: first message must use the "user" role')
    if messages[-1]["role"] == "assistant" and not model.accepts_prefill:
        raise invalid_request(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    _check_tool_pairs(messages, has_tools)
    return tuple(messages)


def check_text_blocks(blocks: object, path: str) -> list[Mapping[str, Any]]:
    """Return a list of text blocks; raises a 400 for anything else."""
    if not isinstance(blocks, list):
        raise invalid_request(f"{path}: Input should be a string or a list of text blocks")
    for index, block in enumerate(blocks):
        _check_block(block, f"{path}.{index}")
        if block["type"] != "text":
            raise invalid_request(f"{path}.{index}.type: Input should be 'text'")
    return blocks


def joined_text(blocks: Sequence[Mapping[str, Any]]) -> str:
    """Return the texts of text blocks, a blank line between them."""
    return "\n\n".join(block["text"] for block in blocks)


def _check_message(message: object, path: str, *, is_last: bool) -> None:
    if not isinstance(message, dict):
        raise invalid_request(f"{path}: Input should be an object with role and content")
    for name in ("role", "content"):
        if name not in message:
            raise invalid_request(f"{path}.{name}: Field required")
    for name in message:
        if name not in ("role", "content"):
            raise invalid_request(f"{path}.{name}: Extra inputs are not permitted")
    if message["role"] not in _ROLES:
        raise invalid_request(f"{path}.role: Input should be 'user', 'assistant' or 'system'")
    content = message["content"]
    if message["role"] == "system" and not isinstance(content, str):
        check_text_blocks(content, f"{path}.content")
    if not isinstance(content, str | list):
        raise invalid_request(f"{path}.content: Input should be a string or a list of content blocks")
    if not content and not (is_last and message["role"] == "assistant"):
        raise invalid_request(
            f"{path}: all messages must have non-empty content except for the optional final assistant message"
        )
    if isinstance(content, list):
        for index, block in enumerate(content):
            _check_block(block, f"{path}.content.{index}")


def _check_block(block: object, path: str) -> None:
    if not isinstance(block, dict):
        raise invalid_request(f"{path}: Input should be an object")
    kind = block.get("type")
    if not isinstance(kind, str) or kind not in _STRING_FIELDS:
        known = ", ".join(_STRING_FIELDS)
        raise invalid_request(f"{path}.type: Input should be one of the block types served here: {known}")
    for name in _STRING_FIELDS[kind]:
        if not isinstance(block.get(name), str):
            raise invalid_request(f"{path}.{kind}.{name}: Input should be a valid string")
    if kind == "text" and not block["text"].strip():
        raise invalid_request(f"{path}: text content blocks must contain non-whitespace text")
    if kind == "tool_use" and not isinstance(block.get("input"), dict):
        raise invalid_request(f"{path}.tool_use.input: Input should be an object")
    if kind in ("image", "document"):
        _check_source(block.get("source"), f"{path}.{kind}.source")
    if kind == "search_result":
        check_text_blocks(block.get("content"), f"{path}.search_result.content")
    if kind == "tool_result":
        _check_result_content(block.get("content", ""), f"{path}.tool_result.content")


def _check_source(source: object, path: str) -> None:
    if not isinstance(source, dict) or not isinstance(source.get("type"), str):
        raise invalid_request(f"{path}.type: Field required")
    if source["type"] == "text" and not isinstance(source.get("data"), str):
        raise invalid_request(f"{path}.data: Input should be a valid string")
    if source["type"] == "content" and not isinstance(source.get("content"), str):
        check_text_blocks(source.get("content"), f"{path}.content")


def _check_result_content(content: object, path: str) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise invalid_request(f"{path}: Input should be a string or a list of content blocks")
    for index, block in enumerate(content):
        if isinstance(block, dict) and block.get("type") not in _RESULT_BLOCKS:
            raise invalid_request(f"{path}.{index}.type: Input should be one of {', '.join(_RESULT_BLOCKS)}")
        _check_block(block, f"{path}.{index}")


def _check_tool_pairs(messages: Sequence[Mapping[str, Any]], has_tools: bool) -> None:
    open_ids: set[str] = set()
    for index, message in enumerate(messages):
        results = _ids(message, "tool_result", "tool_use_id")
        calls = _ids(message, "tool_use", "id")
        if (results or calls) and not has_tools:
            raise invalid_request("Requests which have `tool_use` or `tool_result` blocks must define tools")
        if missing := open_ids - set(results):
            raise invalid_request(
                f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after:"
                f" {', '.join(sorted(missing))}. Each `tool_use` block must have a corresponding `tool_result`"
                " block in the next message."
            )
        for result_id in results:
            if result_id not in open_ids:
                raise invalid_request(
                    f"messages.{index}.content: unexpected `tool_use_id` found in `tool_result` blocks:"
                    f" {result_id}. Each `tool_result` block must have a corresponding `tool_use` block in the"
                    " previous message."
                )
        open_ids = set(calls)


def _ids(message: Mapping[str, Any], kind: str, field: str) -> list[str]:
    content = message["content"]
    return [] if isinstance(content, str) else [block[field] for block in content if block["type"] == kind]
