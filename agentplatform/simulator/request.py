"""A validated request to the Messages API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentplatform.simulator.cache_breakpoints import PrefixBlock
from agentplatform.simulator.models import SimulatedModel


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """How the caller lets tools be used; `name` is set for the type `tool` alone."""

    type: Literal["auto", "any", "tool", "none"] = "auto"
    name: str | None = None

    @property
    def forces_a_tool(self) -> bool:
        """Whether the answer must be a tool call."""
        return self.type in ("any", "tool")


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """What a call asks for. `model_id` is the name as sent, `output_schema` the JSON schema to answer in.

    For a token count, `max_tokens` is 0. `input_tokens` is counted once, when the request is parsed. `prefix` is
    what the prompt cache sees, empty where no breakpoint asks for it.
    """

    model: SimulatedModel
    model_id: str
    max_tokens: int
    messages: tuple[Mapping[str, Any], ...]
    system: str
    tools: tuple[Mapping[str, Any], ...]
    tool_choice: ToolChoice
    output_schema: Mapping[str, Any] | None
    stop_sequences: tuple[str, ...]
    stream: bool
    input_tokens: int
    prefix: tuple[PrefixBlock, ...] = ()
