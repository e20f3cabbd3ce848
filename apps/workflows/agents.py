"""The built-in agents; importing them registers them."""

from agentplatform.agents import (
    answering,
    extracting,
    researching,
    sub_workflows,
    summarizing,
    tool_using,
    waiting,
)
from agentplatform.agents.tools import calculator, json_query
from apps.workflows import cache_checks

__all__ = [
    "answering",
    "cache_checks",
    "calculator",
    "extracting",
    "json_query",
    "researching",
    "sub_workflows",
    "summarizing",
    "tool_using",
    "waiting",
]
