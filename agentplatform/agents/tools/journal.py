"""The journal of a step's tool calls: what has been done is replayed, and what may have been done is not done twice."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from agentplatform.agents.tools.tool import ToolResult
from agentplatform.identifiers import uuid7
from agentplatform.llm.journal import Settlement, StepIdentity, StepJournal


@dataclass(frozen=True, slots=True)
class ToolCallPlace:
    """Which call of its step it is: the `ordinal`-th, known by the hash of its tool and arguments."""

    ordinal: int
    input_hash: str


@dataclass(frozen=True, slots=True)
class StartedToolCall:
    """A call about to be made. `offered` are the names of the tools that its model had, on the first call after an offer."""

    step: StepIdentity
    place: ToolCallPlace
    tool: str
    cost_usd_micros: int
    is_idempotent: bool
    offered: tuple[str, ...] | None = None
    call_id: uuid.UUID = field(default_factory=uuid7)

    def to_json(self) -> dict[str, Any]:
        """A flat JSON object, as the database's functions take it."""
        step = self.step
        return {
            "call_id": str(self.call_id),
            "tenant_id": str(step.tenant_id),
            "api_key_id": str(step.api_key_id) if step.api_key_id else None,
            "workflow_id": str(step.workflow_id),
            "step_id": str(step.step_id),
            "attempt": step.attempt,
            "task_type": step.task_type,
            "agent": step.agent,
            "ordinal": self.place.ordinal,
            "input_hash": self.place.input_hash,
            "tool": self.tool,
            "is_idempotent": self.is_idempotent,
            "price_usd_micros": self.cost_usd_micros,
            "offered": self.offered,
        }


@dataclass(frozen=True, slots=True)
class EndedToolCall:
    """How a call ended, and what is kept of it."""

    call: StartedToolCall
    result: ToolResult

    def to_json(self) -> dict[str, Any]:
        """A flat JSON object, as the database's functions take it."""
        result = self.result
        return {
            **self.call.to_json(),
            "status": result.status,
            "code": result.code,
            "seconds": result.seconds,
            "cost_usd_micros": result.cost_usd_micros,
            "result": result.to_json(),
        }


class ToolCallStore(Protocol):
    """Where tool calls are kept."""

    def start(self, call: StartedToolCall, settlements: Sequence[Settlement]) -> None:
        """Writes durably that a call is about to be made, and reserves its price; settles model calls with it.

        Raises BudgetShort when there is no room for its price (settled they are all the same), and Interrupted when
        its attempt is not the running one any longer.
        """

    def end(self, ended: EndedToolCall, settlements: Sequence[Settlement]) -> None:
        """Writes how a call ended, once by its id, and what it cost; settles model calls with it."""

    def calls_before(self, step: StepIdentity) -> Sequence[Mapping[str, Any]]:
        """The calls of the step's earlier attempts. Those of them that nobody came back from are unknown from now on."""


class ToolJournal:
    """The tool calls of one attempt of a step, over those of earlier attempts."""

    def __init__(self, journal: StepJournal, store: ToolCallStore | None) -> None:
        self._journal = journal
        self._store = store
        self._next_ordinal = 0
        self._before: Sequence[Mapping[str, Any]] | None = None

    @property
    def step(self) -> StepIdentity:
        return self._journal.step

    @property
    def next_ordinal(self) -> int:
        """The ordinal of the step's next call: 0, 1, 2, …, the same on every attempt."""
        return self._next_ordinal

    def place(self, tool: str, arguments: Mapping[str, Any]) -> ToolCallPlace:
        """The place of the step's next call."""
        told = orjson.dumps([tool, arguments], option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
        place = ToolCallPlace(self._next_ordinal, hashlib.sha256(told).hexdigest())
        self._next_ordinal += 1
        return place

    def before(self, place: ToolCallPlace) -> Mapping[str, Any] | None:
        """The same call at the same place on an earlier attempt: the one that ended, if one of them did."""
        found = [
            call
            for call in self._calls_before()
            if (call["ordinal"], call["input_hash"]) == (place.ordinal, place.input_hash)
        ]
        return min(found, key=lambda call: call["status"] not in ("succeeded", "failed"), default=None)

    def offered_before(self) -> Sequence[str] | None:
        """The names of the tools that an earlier attempt had for its next call; None where none came so far."""
        for call in self._calls_before():
            if call["ordinal"] == self._next_ordinal and call["offered"] is not None:
                return list(call["offered"])
        return None

    def start(self, call: StartedToolCall) -> None:
        """Writes down that `call` is about to be made. What its model was paid comes first: it is what asked for it."""
        if self._store is not None:
            settlements, self._journal.pending = self._journal.pending, []
            self._store.start(call, settlements)

    def end(self, ended: EndedToolCall) -> None:
        """Writes how a call ended, with what is still to be settled."""
        if self._store is not None:
            settlements, self._journal.pending = self._journal.pending, []
            self._store.end(ended, settlements)

    def _calls_before(self) -> Sequence[Mapping[str, Any]]:
        if self._before is None:
            asked = self._store is not None and self.step.attempt > 1
            self._before = self._store.calls_before(self.step) if self._store is not None and asked else ()
        return self._before
