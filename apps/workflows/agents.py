"""The built-in agents; importing them registers them."""

from agentplatform.agents import (
    answering,
    classifying,
    conversing,
    criticising,
    extracting,
    moderating,
    researching,
    reviewing,
    sub_workflows,
    summarizing,
    tool_using,
    waiting,
)
from apps.workflows import cache_checks, session_summaries

__all__ = [
    "answering",
    "cache_checks",
    "classifying",
    "conversing",
    "criticising",
    "extracting",
    "moderating",
    "researching",
    "reviewing",
    "session_summaries",
    "sub_workflows",
    "summarizing",
    "tool_using",
    "waiting",
]
