"""The tools of a step: which can be had now, and the one way to call them."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from agentplatform.agents.tools.journal import EndedToolCall, StartedToolCall, ToolCallStore, ToolJournal
from agentplatform.agents.tools.tool import (
    Tool,
    ToolContext,
    ToolError,
    ToolOutput,
    ToolResult,
    ToolSpec,
    bounded,
)
from agentplatform.execution.circuit import Admission, CircuitBreaker, CircuitPolicy, LocalCircuits, Phase
from agentplatform.execution.deadlines import Deadline
from agentplatform.json_schema import faults_of
from agentplatform.llm.errors import BudgetShort, CallDeferred, Interrupted
from agentplatform.llm.journal import StepJournal
from agentplatform.llm.model import CallContext

logger = logging.getLogger(__name__)

POLICY = CircuitPolicy(failures=5, window_seconds=60.0, open_seconds=30.0, probe_seconds=60.0)
"""When a circuit of a tool opens, and for how long."""
MAX_FAULTS_TOLD = 5
IN_FLIGHT_SECONDS = 5.0
"""How soon a step looks again where calls that are under way may leave room."""


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool that can be had, as an operator has set it."""

    spec: ToolSpec
    tool: Tool

    def circuit_of(self, arguments: Mapping[str, Any]) -> str:
        """The circuit of one call: the tool's own, unless it asks many hosts, which have one each."""
        per_call = getattr(self.tool, "circuit_of", None)
        return self.spec.circuit if per_call is None else str(per_call(arguments))


@dataclass(frozen=True, slots=True)
class SkippedTool:
    """A tool that cannot be had now, and why, in a sentence. One that `is_set_up` could be had at another time."""

    name: str
    reason: str
    is_set_up: bool = True


@dataclass(frozen=True, slots=True)
class Offer:
    """What the names of a step's definition stand for now."""

    tools: tuple[OfferedTool, ...] = ()
    skipped: tuple[SkippedTool, ...] = ()

    def find(self, name: str) -> OfferedTool | None:
        return next((one for one in self.tools if one.spec.name == name), None)


class ToolUser(Protocol):
    """Who calls tools: what of an attempt of a step matters to them."""

    @property
    def tenant_id(self) -> uuid.UUID: ...

    @property
    def step_id(self) -> uuid.UUID: ...

    @property
    def session_id(self) -> uuid.UUID | None: ...

    @property
    def input(self) -> Mapping[str, Any]: ...

    @property
    def needs(self) -> Mapping[str, Any]: ...

    @property
    def deadline(self) -> Deadline: ...

    @property
    def call(self) -> CallContext: ...

    def remember(self, kind: str, parts: Any, make: Callable[[], Any]) -> Any:
        """What `make` returns, or returned a while ago for the same parts."""


class ToolSource(Protocol):
    """Knows the tools there are, for a tenant."""

    def find(self, tenant_id: uuid.UUID, names: Sequence[str]) -> Offer:
        """What `names` of a definition stand for. Those that are off or away are skipped; it does not raise."""


class NoTools:
    """The source of who has no tools."""

    def find(self, tenant_id: uuid.UUID, names: Sequence[str]) -> Offer:
        return Offer(skipped=tuple(SkippedTool(name, "There are no tools here.") for name in names))


class Tools:
    """Hands out the tools of each attempt of a step. Without a `store` no call is written down."""

    def __init__(
        self,
        source: ToolSource | None = None,
        breaker: CircuitBreaker | None = None,
        store: ToolCallStore | None = None,
    ) -> None:
        self._source = source or NoTools()
        self._breaker = breaker or CircuitBreaker(LocalCircuits(), POLICY)
        self._store = store

    def for_step(self, journal: StepJournal) -> Toolbox:
        """The tools of one attempt."""
        return Toolbox(self._source, self._breaker, ToolJournal(journal, self._store))


class Toolbox:
    """The tools of one attempt of a step: offered as they can be had, called through journal, breaker and budget.

    Without a journal, calls are made and not written down.
    """

    def __init__(
        self,
        source: ToolSource | None = None,
        breaker: CircuitBreaker | None = None,
        journal: ToolJournal | None = None,
    ) -> None:
        self._source = source or NoTools()
        self._breaker = breaker or CircuitBreaker(LocalCircuits(), POLICY)
        self._journal = journal
        self._offered: tuple[str, ...] | None = None

    def offer(self, step: ToolUser, names: Sequence[str]) -> Offer:
        """The tools of these names that can be had now; one whose circuit is open is skipped.

        An attempt that goes on where an earlier one was lost has the tools that the earlier one had: its model is asked
        the same, and what it has answered is replayed.
        """
        found = self._source.find(step.tenant_id, names)
        before = self._journal.offered_before() if self._journal is not None else None
        if before is not None:
            offer = Offer(tuple(one for one in found.tools if one.spec.name in before), found.skipped)
        else:
            away = [one for one in found.tools if self._is_away(one)]
            reason = "It has failed again and again, and is left alone for a while."
            skipped = tuple(SkippedTool(one.spec.name, reason) for one in away)
            offer = Offer(tuple(one for one in found.tools if one not in away), (*found.skipped, *skipped))
        self._offered = tuple(one.spec.name for one in offer.tools)
        return offer

    def call(self, step: ToolUser, tool: OfferedTool, arguments: Mapping[str, Any]) -> ToolResult:
        """One call, unless an earlier attempt has made it. What the tool does wrong is a result, not an error.

        Raises CallDeferred where a budget has no room for its price, Interrupted where the step must stop.
        """
        spec = tool.spec
        faults = faults_of(spec.input_schema, arguments)
        if faults:
            told = "; ".join(f"{fault.place}: {fault.message}" for fault in faults[:MAX_FAULTS_TOLD])
            return ToolResult(spec.name, "failed", f"The input is not right: {told}", code="invalid_input")
        if self._journal is None:
            return self._make(step, tool, arguments, str(uuid.uuid4()))
        return self._journaled(self._journal, step, tool, arguments)

    def _journaled(
        self, journal: ToolJournal, step: ToolUser, tool: OfferedTool, arguments: Mapping[str, Any]
    ) -> ToolResult:
        spec = tool.spec
        place = journal.place(spec.name, arguments)
        before = journal.before(place)
        if before is not None and (before["status"] in ("succeeded", "failed") or not spec.is_idempotent):
            return _replayed(spec, before)
        if step.call.must_stop:
            raise Interrupted("deadline_exceeded", "No time was left for a tool.", transient=True)
        call = StartedToolCall(
            journal.step, place, spec.name, spec.cost_usd_micros, spec.is_idempotent, self._offered
        )
        self._offered = None
        if spec.is_recorded_first:
            try:
                journal.start(call)
            except BudgetShort as short:
                return _unaffordable(spec, short)
        result = self._make(step, tool, arguments, f"{place.ordinal}-{place.input_hash[:16]}")
        journal.end(EndedToolCall(call, result))
        return result

    def _is_away(self, tool: OfferedTool) -> bool:
        return bool(tool.spec.circuit) and self._breaker.phase(tool.spec.circuit) is Phase.OPEN

    def _make(self, step: ToolUser, tool: OfferedTool, arguments: Mapping[str, Any], key: str) -> ToolResult:
        began = time.monotonic()
        circuit = tool.circuit_of(arguments)
        admission = self._breaker.admit(circuit) if circuit else Admission(True)
        if not admission.passes:
            message = "It has failed again and again, and is left alone for a while; do without it."
            return ToolResult(tool.spec.name, "failed", message, code="circuit_open")
        context = ToolContext(
            tenant_id=step.tenant_id,
            key=f"{step.step_id}-{key}",
            deadline=step.deadline.sooner(tool.spec.timeout_seconds),
            spec=tool.spec,
            material={"input": step.input, "steps": step.needs},
        )
        result, is_tools = _run(step, tool, arguments, context)
        if circuit:
            self._report(circuit, admission, result.code, is_tools=is_tools)
        return replace(result, seconds=round(time.monotonic() - began, 3))

    def _report(self, circuit: str, admission: Admission, code: str, *, is_tools: bool) -> None:
        if is_tools:
            self._breaker.failed(circuit, admission, code)
        elif admission.probes:
            self._breaker.succeeded(circuit)


def _run(
    step: ToolUser, tool: OfferedTool, arguments: Mapping[str, Any], context: ToolContext
) -> tuple[ToolResult, bool]:
    """How one call ends, and whether the tool is at fault. A failed call costs nothing; an unknown one its price."""
    spec = tool.spec
    try:
        output, was_made = _output(step, tool, arguments, context)
        content, cut = bounded(output.content)
    except ToolError as error:
        is_unknown = error.is_unknown and not spec.is_idempotent
        told = f"{error.message} It may have been done all the same." if is_unknown else error.message
        status, cost = ("unknown", spec.cost_usd_micros) if is_unknown else ("failed", 0)
        failed = ToolResult(spec.name, status, told, code=error.code, cost_usd_micros=cost)
        return failed, error.is_tools
    except Exception as error:  # noqa: BLE001 - whatever a tool raises is its call's failure
        # The text of an unforeseen exception may quote what was asked or returned.
        logger.warning("tool %s raised %s", spec.name, type(error).__name__)
        message = "The tool broke down."
        if spec.is_idempotent:
            return ToolResult(spec.name, "failed", message, code="tool_broken"), True
        message = f"{message} It may have been done all the same."
        cost = spec.cost_usd_micros
        return ToolResult(spec.name, "unknown", message, code="tool_broken", cost_usd_micros=cost), True
    cost = spec.cost_usd_micros if was_made else 0
    return ToolResult(spec.name, "succeeded", content, (*output.notes, *cut), cost_usd_micros=cost), False


def _output(
    step: ToolUser, tool: OfferedTool, arguments: Mapping[str, Any], context: ToolContext
) -> tuple[ToolOutput, bool]:
    """What the tool returns, or has returned a while ago for the same arguments; and whether it was asked for it."""
    # What a conversation has asked for serves that conversation alone.
    if not tool.spec.is_cacheable or step.session_id is not None:
        return tool.tool.run(arguments, context), True
    made: list[ToolOutput] = []

    def make() -> dict[str, Any]:
        output = tool.tool.run(arguments, context)
        made.append(output)
        return {"content": output.content, "notes": list(output.notes)}

    parts = [tool.spec.name, tool.spec.circuit, arguments]
    kept = step.remember("tool", parts, make)
    return ToolOutput(kept["content"], tuple(kept["notes"])), bool(made)


def _replayed(spec: ToolSpec, before: Mapping[str, Any]) -> ToolResult:
    """What an earlier attempt was told; of a call that nobody came back from, that nobody knows."""
    if before["status"] == "started" or before["result"] is None:
        message = (
            "An earlier attempt has begun this, and nobody knows whether it was done. It is not done again: say so, and "
            "have somebody look."
        )
        return ToolResult(
            spec.name, "unknown", message, code="outcome_unknown", cost_usd_micros=before["cost_usd_micros"]
        )
    kept = before["result"]
    return ToolResult(
        spec.name,
        before["status"],
        kept["content"],
        tuple(kept["notes"]),
        before["code"],
        before["seconds"],
        before["cost_usd_micros"],
    )


def _unaffordable(spec: ToolSpec, short: BudgetShort) -> ToolResult:
    """A call that its workflow's own limit has no room for is told; for a budget the step waits."""
    if short.seconds is not None or short.in_flight:
        raise CallDeferred(
            short.code,
            f"{short.message} The step goes on by itself when there is.",
            waiting_for="budget",
            seconds=short.seconds or IN_FLIGHT_SECONDS,
            needs=(spec.cost_usd_micros, 0) if short.seconds is not None else None,
        ) from short
    return ToolResult(spec.name, "failed", short.message, code=short.code)
