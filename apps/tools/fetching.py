"""The tool `http_fetch`: pages of the hosts that an operator has allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from agentplatform.agents.registry import registry
from agentplatform.agents.tools.tool import ToolContext, ToolError, ToolOutput, ToolSpec
from agentplatform.outbound.addresses import MAX_URL_CHARACTERS
from agentplatform.outbound.resolving import Resolve, resolve_host
from apps.notifications.resolving import address_rules


@registry.tool
class HttpFetch:
    """Output: `{"url", "content_type", "text"}`: where it came from at last, and its text without markup."""

    spec = ToolSpec(
        name="http_fetch",
        description="Fetches a web page by its URL and returns its text.",
        input_schema={
            "type": "object",
            "properties": {
                "url": {
                    "type": "string",
                    "description": "The address of the page, with http:// or https://.",
                    "maxLength": MAX_URL_CHARACTERS,
                }
            },
            "required": ["url"],
            "additionalProperties": False,
        },
        timeout_seconds=10.0,
        needs_hosts=True,
    )

    def __init__(self, resolve: Resolve = resolve_host) -> None:
        self._resolve = resolve

    def circuit_of(self, arguments: Mapping[str, Any]) -> str:
        """A circuit for each host."""
        try:
            host = urlsplit(arguments["url"]).netloc.lower()
        except ValueError:
            host = ""
        return f"tool/http_fetch/{host[:100]}"

    def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutput:
        # Loaded by those alone that fetch: every process registers its tools.
        from agentplatform.outbound.fetching import FetchPolicy, FetchRefused, fetch

        policy = FetchPolicy(context.spec.allowed_hosts, address_rules())
        try:
            page = fetch(arguments["url"], policy, resolve=self._resolve, deadline=context.deadline.at)
        except FetchRefused as error:
            raise ToolError(error.code, error.message, is_tools=error.is_hosts) from error
        content = {"url": page.url, "content_type": page.content_type, "text": page.text}
        return ToolOutput(content, page.notes)
