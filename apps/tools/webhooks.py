"""A tenant's webhook as a tool: a signed POST to where its owner has said, and what it answers."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from agentplatform.agents.tools.tool import WEBHOOK_PREFIX, ToolContext, ToolError, ToolOutput, ToolSpec
from agentplatform.outbound.exchange import Answer, ExchangeFailed, exchange
from agentplatform.outbound.resolving import Resolve, resolve_host
from apps.notifications.resolving import address_rules
from apps.notifications.secrets import SecretUnreadable, secret_decrypt
from apps.notifications.signing import signed_headers
from apps.tools.models import TenantTool

EVENT_TYPE = "tool.call"
USER_AGENT = "agentplatform-tools/1"
MAX_ANSWER_BYTES = 256 * 1024


class WebhookTool:
    """One tool of a tenant. Every call has an `Idempotency-Key`, which is the same when it is made again."""

    def __init__(self, tool: TenantTool, resolve: Resolve = resolve_host) -> None:
        self.spec = ToolSpec(
            name=f"{WEBHOOK_PREFIX}{tool.name}",
            description=tool.description,
            input_schema=tool.input_schema,
            timeout_seconds=tool.timeout_seconds,
            cost_usd_micros=tool.cost_usd_micros,
            is_idempotent=tool.is_idempotent,
            is_cacheable=tool.is_cacheable,
            circuit=f"tool/webhook/{tool.pk}",
        )
        self._tool = tool
        self._resolve = resolve

    def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutput:
        told = {
            "type": EVENT_TYPE,
            "timestamp": datetime.now(UTC),
            "data": {"tool": self._tool.name, "arguments": arguments},
        }
        body = orjson.dumps(told, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)
        try:
            with exchange(
                "POST",
                self._tool.url,
                self._headers(context.key, body),
                body,
                rules=address_rules(),
                resolve=self._resolve,
                deadline=context.deadline.at,
                who="tool",
            ) as answer:
                return _output(answer)
        except ExchangeFailed as error:
            raise ToolError(
                error.code, error.message, is_tools=error.is_hosts, is_unknown=error.was_sent
            ) from error

    def _headers(self, key: str, body: bytes) -> dict[str, str]:
        try:
            secret = secret_decrypt(self._tool.secret)
        except SecretUnreadable as error:
            raise ToolError("secret_unreadable", str(error)) from error
        return {
            "User-Agent": USER_AGENT,
            "Content-Type": "application/json",
            "Accept": "application/json, text/plain",
            "Idempotency-Key": key,
            **signed_headers([secret], uuid.uuid5(uuid.NAMESPACE_OID, key), body),
        }


def _output(answer: Answer) -> ToolOutput:
    """JSON as JSON, anything else as text. Raises ToolError for an answer that refuses."""
    if 300 <= answer.status < 400:
        raise ToolError("redirected", f"The tool answered {answer.status}; redirects are not followed.")
    if not 200 <= answer.status < 300:
        is_tools = answer.status >= 500 or answer.status == 429
        raise ToolError(
            f"http_{answer.status}",
            f"The tool answered {answer.status}.",
            is_tools=is_tools,
            is_unknown=answer.status >= 500,
        )
    read = bytearray()
    for piece in answer.body:
        read += piece
        if len(read) > MAX_ANSWER_BYTES:
            text = bytes(read[:MAX_ANSWER_BYTES]).decode(errors="replace").replace("\x00", "")
            return ToolOutput(text, (f"Cut after {MAX_ANSWER_BYTES:,} bytes: the answer goes on.",))
    try:
        return ToolOutput(orjson.loads(bytes(read)))
    except orjson.JSONDecodeError:
        return ToolOutput(bytes(read).decode(errors="replace").replace("\x00", ""))
