"""The built-in agents; importing them registers them."""

from agentplatform.agents import answering, extracting, researching, summarizing

__all__ = ["answering", "extracting", "researching", "summarizing"]
