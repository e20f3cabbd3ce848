"""The built-in agents; importing them registers them."""

from agentplatform.agents import (
    answering,
    conversing,
    extracting,
    researching,
    sub_workflows,
    summarizing,
    tool_using,
    waiting,
)
from apps.workflows import cache_checks, session_summaries

__all__ = [
    "answering",
    "cache_checks",
    "conversing",
    "extracting",
    "researching",
    "session_summaries",
    "sub_workflows",
    "summarizing",
    "tool_using",
    "waiting",
]
