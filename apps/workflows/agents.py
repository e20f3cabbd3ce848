"""The built-in agents; importing them registers them."""

from agentplatform.agents import answering

__all__ = ["answering"]
