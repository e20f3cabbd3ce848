"""What a tool is, what it is given, and how a call of it ends."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from agentplatform.execution.deadlines import Deadline

MAX_RESULT_CHARACTERS = 20_000
"""How much of a result a model is given, and is kept."""
WEBHOOK_PREFIX = "webhook__"
MCP_PREFIX = "mcp__"
ALL_WEBHOOKS = "webhook:*"
_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What is known of a tool: what a model is told of it, and how it may be called.

    `cost_usd_micros` is the price of a call that was made. One that is not idempotent is never made again where nobody
    knows whether it was made; the results of one that `is_cacheable` depend on its arguments alone, and serve again.
    `circuit` is the key of the circuit that guards it, "" for none; `allowed_hosts` are an operator's, for one that `needs_hosts`.
    """

    name: str
    description: str
    input_schema: Mapping[str, Any]
    timeout_seconds: float = 10.0
    cost_usd_micros: int = 0
    is_idempotent: bool = True
    is_cacheable: bool = False
    circuit: str = ""
    allowed_hosts: tuple[str, ...] = ()
    needs_hosts: bool = False

    def to_model(self) -> dict[str, Any]:
        """The tool as requests to models carry it."""
        return {"name": self.name, "description": self.description, "input_schema": self.input_schema}

    @property
    def is_recorded_first(self) -> bool:
        """Whether a call is written down before it is made: it costs, or must not be made twice."""
        return self.cost_usd_micros > 0 or not self.is_idempotent


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The circumstances of one call. `key` is the same whenever this very call is made again.

    `material` is what the step has: `input`, and `steps` with the outputs that it needs. `spec` is as an operator has set it.
    """

    tenant_id: uuid.UUID
    key: str
    deadline: Deadline
    spec: ToolSpec
    material: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool returns: text or JSON, and notes on how it fell short of what was asked for."""

    content: Any
    notes: tuple[str, ...] = ()


class ToolError(Exception):
    """A call failed. `message` is told to the model and to who reads the result; it quotes nothing from outside.

    `is_tools` says that the tool is at fault, which its circuit counts; `is_unknown` that it may have been done all the
    same. `circuit` is that of the part at fault, where it is not the tool's own.
    """

    def __init__(self, code: str, message: str, *, is_tools: bool = False, is_unknown: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.is_tools = is_tools
        self.is_unknown = is_unknown


class Tool(Protocol):
    """Does one thing for a model, within the deadline of its context."""

    spec: ToolSpec

    def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutput:
        """Arguments satisfy the schema. Raises ToolError."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """How a call ended. `status` is succeeded, failed or unknown; `code` says why it did not succeed."""

    tool: str
    status: str
    content: Any = None
    notes: tuple[str, ...] = ()
    code: str = ""
    seconds: float = 0.0
    cost_usd_micros: int = 0

    @property
    def is_error(self) -> bool:
        return self.status != "succeeded"

    def to_model(self) -> str:
        """The result as a model reads it: one JSON object, so that no content can pass for anything but content."""
        told: dict[str, Any] = {"error" if self.is_error else "result": self.content}
        if self.notes:
            told["notes"] = self.notes
        return orjson.dumps(told, option=orjson.OPT_NON_STR_KEYS).decode()

    def to_output(self) -> dict[str, Any]:
        """What a step's output says of the call: never what it was asked or has returned."""
        told: dict[str, Any] = {"tool": self.tool, "status": self.status}
        if self.is_error:
            told |= {"code": self.code, "note": str(self.content)}
        elif self.notes:
            told["note"] = " ".join(self.notes)
        return told

    def to_json(self) -> dict[str, Any]:
        """What is kept, and replayed on a later attempt."""
        return {"content": self.content, "notes": list(self.notes)}


def is_tool_name(name: str) -> bool:
    """Whether models take it for a tool's name."""
    return _NAME.match(name) is not None


def is_dynamic(name: str) -> bool:
    """Whether only a run knows what a name in a definition stands for: `webhook:NAME`, `webhook:*` or `mcp:SERVER`."""
    kind, _, rest = name.partition(":")
    return kind in ("webhook", "mcp") and bool(rest)


def bounded(content: Any) -> tuple[Any, tuple[str, ...]]:
    """Content within MAX_RESULT_CHARACTERS, and a note where it was cut. JSON that is too long becomes its beginning."""
    text = (
        content
        if isinstance(content, str)
        else orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS).decode()
    )
    if len(text) <= MAX_RESULT_CHARACTERS:
        return content, ()
    note = f"Cut after {MAX_RESULT_CHARACTERS:,} of {len(text):,} characters."
    return text[:MAX_RESULT_CHARACTERS], (note,)
