"""The tools that installed apps bring, as they bring them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from agentplatform.agents.registry import Registry, registry
from agentplatform.agents.tools.toolbox import Offer, OfferedTool, SkippedTool


class RegisteredTools:
    """A source of the tools of a registry, which it offers to everybody."""

    def __init__(self, tools: Registry = registry) -> None:
        self._registry = tools

    def find(self, tenant_id: uuid.UUID, names: Sequence[str]) -> Offer:
        found = {name: self._registry.find_tool(name) for name in dict.fromkeys(names)}
        return Offer(
            tuple(OfferedTool(tool.spec, tool) for tool in found.values() if tool is not None),
            tuple(SkippedTool(name, "No tool is called so.") for name, tool in found.items() if tool is None),
        )
