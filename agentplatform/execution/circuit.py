"""Circuit breakers: what fails again and again is left alone for a while, then tried by one.

Source: M. Nygard, Release It!, 2007. Decisions are pure; a store makes each of them one step among processes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Phase(StrEnum):
    """Of a circuit: closed lets everything pass, open nothing, half-open one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """Opens after `failures` within `window_seconds`, for `open_seconds`; a probe has `probe_seconds` to report."""

    failures: int = 5
    window_seconds: float = 30.0
    open_seconds: float = 15.0
    probe_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of an endpoint. Times are seconds of the store's clock."""

    failed_at: tuple[float, ...] = ()
    is_tripped: bool = False
    open_until: float = 0.0
    probe_until: float = 0.0

    def phase(self, now: float) -> Phase:
        if not self.is_tripped:
            return Phase.CLOSED
        return Phase.OPEN if now < self.open_until else Phase.HALF_OPEN

    def to_json(self) -> dict[str, Any]:
        return {
            "failed_at": self.failed_at,
            "is_tripped": self.is_tripped,
            "open_until": self.open_until,
            "probe_until": self.probe_until,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Circuit:
        return cls(**{**document, "failed_at": tuple(document["failed_at"])})


class CircuitOpen(Exception):
    """The endpoint has failed too often; ask again after `retry_after_seconds`."""

    def __init__(self, key: str, retry_after_seconds: float) -> None:
        super().__init__(f"'{key}' has failed too often and is left alone for {retry_after_seconds:.0f} s")
        self.key = key
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether an attempt may be made. Who `probes` alone decides whether the circuit closes."""

    passes: bool
    probes: bool = False
    retry_after_seconds: float = 0.0


def admit(circuit: Circuit, policy: CircuitPolicy, now: float) -> tuple[Circuit, Admission]:
    """Closed: passes. Open: refused. Half-open: the first is the probe, the others are refused until it reports."""
    match circuit.phase(now):
        case Phase.CLOSED:
            return circuit, Admission(True)
        case Phase.OPEN:
            return circuit, Admission(False, retry_after_seconds=circuit.open_until - now)
    if now < circuit.probe_until:
        return circuit, Admission(False, retry_after_seconds=circuit.probe_until - now)
    return replace(circuit, probe_until=now + policy.probe_seconds), Admission(True, probes=True)


def succeeded(circuit: Circuit, *, probes: bool) -> Circuit:
    """A probe closes the circuit; any other success says nothing about one that is open."""
    return Circuit() if probes else circuit


def failed(
    circuit: Circuit, policy: CircuitPolicy, now: float, *, probes: bool, open_until: float = 0.0
) -> Circuit:
    """Counts a failure. A failed probe opens again; `open_until` opens at once; the longest deadline wins."""
    recent = (*(at for at in circuit.failed_at if at > now - policy.window_seconds), now)
    if not (probes or open_until or len(recent) >= policy.failures):
        return replace(circuit, failed_at=recent)
    until = max(circuit.open_until, open_until, now + policy.open_seconds)
    return Circuit(is_tripped=True, open_until=until)


class CircuitStore(Protocol):
    """Keeps circuits by key; changes to one are made one after another."""

    def read(self, key: str) -> tuple[Circuit, float]:
        """The circuit, and the time by the store's clock."""

    def change(self, key: str, decide: Callable[[Circuit, float], tuple[Circuit, T]]) -> T:
        """Stores what `decide` makes of the circuit and the time; returns the rest of what it says."""


@dataclass(slots=True)
class LocalCircuits:
    """The circuits of one process."""

    clock: Callable[[], float] = time.monotonic
    _circuits: dict[str, Circuit] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, key: str) -> tuple[Circuit, float]:
        return self._circuits.get(key, Circuit()), self.clock()

    def change(self, key: str, decide: Callable[[Circuit, float], tuple[Circuit, T]]) -> T:
        with self._lock:
            circuit, result = decide(self._circuits.get(key, Circuit()), self.clock())
            self._circuits[key] = circuit
            return result


class CircuitBreaker:
    """Guards attempts on endpoints. A closed circuit costs one read, and a write only when an attempt fails."""

    def __init__(self, store: CircuitStore, policy: CircuitPolicy) -> None:
        self._store = store
        self._policy = policy

    def phase(self, key: str) -> Phase:
        circuit, now = self._store.read(key)
        return circuit.phase(now)

    @contextmanager
    def guard(self, key: str, *, trips: Callable[[Exception], bool]) -> Iterator[None]:
        """One attempt. Raises CircuitOpen instead of making it; an error that `trips` counts as a failure."""
        admission = self._admission(key)
        if not admission.passes:
            raise CircuitOpen(key, admission.retry_after_seconds)
        try:
            yield
        except Exception as error:
            if trips(error):
                self._report_failure(key, admission)
            elif admission.probes:
                self._report_success(key)
            raise
        if admission.probes:
            self._report_success(key)

    def open(self, key: str, seconds: float) -> None:
        """Opens the circuit by hand, or because the endpoint has said until when it will not serve."""
        self._store.change(
            key,
            lambda circuit, now: (
                failed(circuit, self._policy, now, probes=False, open_until=now + seconds),
                None,
            ),
        )

    def reset(self, key: str) -> None:
        """Closes the circuit by hand."""
        self._store.change(key, lambda circuit, now: (Circuit(), None))

    def _admission(self, key: str) -> Admission:
        circuit, now = self._store.read(key)
        if circuit.phase(now) is not Phase.HALF_OPEN:
            return admit(circuit, self._policy, now)[1]
        return self._store.change(key, lambda circuit, now: admit(circuit, self._policy, now))

    def _report_failure(self, key: str, admission: Admission) -> None:
        self._store.change(
            key,
            lambda circuit, now: (failed(circuit, self._policy, now, probes=admission.probes), None),
        )

    def _report_success(self, key: str) -> None:
        self._store.change(key, lambda circuit, now: (succeeded(circuit, probes=True), None))
