"""Requests as the Messages API takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from agentplatform.llm.messages import ModelRequest
from agentplatform.llm.providers.output_format import output_format_schema


def parameters_of(request: ModelRequest, model: str) -> dict[str, Any]:
    """The keyword arguments of the SDK's calls. Breakpoints for prompt caching end each part of the shared prefix."""
    mark = _cache_control(request)
    parameters: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens,
        "messages": _messages(request, mark),
    }
    if request.system:
        parameters["system"] = [{"type": "text", "text": request.system, **mark}] if mark else request.system
    if request.tools:
        *others, last = request.tools
        parameters["tools"] = [*others, {**last, **mark}]
        if request.tool_choice:
            parameters["tool_choice"] = {"type": request.tool_choice}
    if request.stop_sequences:
        parameters["stop_sequences"] = list(request.stop_sequences)
    if request.output_schema is not None:
        schema = output_format_schema(request.output_schema)
        parameters["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return parameters


def _cache_control(request: ModelRequest) -> dict[str, Any]:
    if not request.prompt_cache_ttl:
        return {}
    return {"cache_control": {"type": "ephemeral", "ttl": request.prompt_cache_ttl}}


def _messages(request: ModelRequest, mark: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The messages, the first with the shared context and the document as blocks of their own before what it says."""
    if not request.shared_context and not request.document:
        return list(request.messages)
    first, *others = request.messages
    content = first["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    before: list[Mapping[str, Any]] = []
    if request.shared_context:
        before.append({"type": "text", "text": request.shared_context, **mark})
    if request.document:
        before.append({"type": "text", "text": f"<document>\n{escape(request.document)}\n</document>"})
    return [{**first, "content": [*before, *blocks]}, *others]
