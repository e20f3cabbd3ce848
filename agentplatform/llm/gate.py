"""The gate before every provider: its circuit breakers, and its rates per minute.

A gate decides for a call which of its targets it may be sent to now, in their order, and is told how the call went.
The gate of an installation is shared by all of its processes; `LocalGate` is that of one process.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agentplatform.execution.circuit import Admission, CircuitBreaker
from agentplatform.llm.catalogue import Target
from agentplatform.llm.errors import ModelError
from agentplatform.llm.messages import Usage
from agentplatform.llm.model import RateReport


@dataclass(frozen=True, slots=True)
class Demand:
    """What a call will take of its provider's rates. `prefix_hash` is that of a prefix which may be cached, or ''."""

    tenant_id: uuid.UUID
    input_tokens: int
    output_tokens: int
    prefix_hash: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A call may be made: to `target`. `prefix_seen_seconds_ago` is None for a prefix that was not seen lately.

    `tick` is where its share of the rates was taken; 0 where none was.
    """

    target: Target
    demand: Demand
    admission: Admission
    prefix_seen_seconds_ago: float | None = None
    tick: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """No target may be called now; one may be in `wait_seconds`. `code` is rate_limited or circuit_open."""

    code: str
    wait_seconds: float


@dataclass(slots=True)
class CallReport:
    """How a call went, and how long after it was let through it was sent.

    `was_answered` is false for one that was not made, or broken off from our side: it says nothing of the provider.
    """

    usage: Usage = field(default_factory=Usage)
    error: ModelError | None = None
    rates: RateReport | None = None
    late_seconds: float = 0.0
    was_answered: bool = True


class ProviderGate(Protocol):
    """Lets calls pass to providers."""

    def enter(self, targets: Sequence[Target], demand: Demand) -> Passage | Refusal:
        """The first of `targets` that may be called now, with its share of the rates taken; or why none may."""

    def leave(self, passage: Passage, report: CallReport) -> None:
        """Corrects what was taken by what was used, and tells the circuit breaker."""


class LocalGate:
    """Circuit breakers alone: what holds while nothing is shared."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker

    def enter(self, targets: Sequence[Target], demand: Demand) -> Passage | Refusal:
        waits = []
        for target in targets:
            admission = self._breaker.admit(target.circuit)
            if admission.passes:
                return Passage(target, demand, admission)
            waits.append(admission.retry_after_seconds)
        return Refusal("circuit_open", min(waits))

    def leave(self, passage: Passage, report: CallReport) -> None:
        report_to_breaker(self._breaker, passage, report)


def report_to_breaker(breaker: CircuitBreaker, passage: Passage, report: CallReport) -> None:
    """Counts a failure of the provider against it; a probe that shows it alive closes the circuit."""
    key, error = passage.target.circuit, report.error
    if error is not None and error.is_providers:
        breaker.failed(key, passage.admission, error.code, open_seconds=error.unavailable_seconds)
    elif passage.admission.probes:
        if report.was_answered:
            breaker.succeeded(key)
        else:
            breaker.release(key)
