"""The tools that come with the platform, beside those of other apps; importing them registers them."""

from agentplatform.agents.tools import calculator, json_query
from apps.tools import fetching

__all__ = ["calculator", "fetching", "json_query"]
