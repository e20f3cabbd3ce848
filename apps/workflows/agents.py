"""The built-in agents; importing them registers them."""

from agentplatform.agents import answering, extracting, researching, sub_workflows, summarizing, waiting
from apps.workflows import cache_checks

__all__ = ["answering", "cache_checks", "extracting", "researching", "sub_workflows", "summarizing", "waiting"]
