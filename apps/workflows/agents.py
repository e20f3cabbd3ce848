"""The built-in agents; importing them registers them."""

from agentplatform.agents import (
    answering,
    conversing,
    extracting,
    researching,
    summarizing,
    tool_using,
)
from apps.workflows import cache_checks, session_summaries

__all__ = [
    "answering",
    "cache_checks",
    "conversing",
    "extracting",
    "researching",
    "session_summaries",
    "summarizing",
    "tool_using",
]
