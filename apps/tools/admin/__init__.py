"""The admin pages of tools: what is set of them, tenants' own, MCP servers, and calls."""

from apps.tools.admin import calls, owned, settings
from apps.tools.admin.calls import tool_calls_table

__all__ = ["calls", "owned", "settings", "tool_calls_table"]
