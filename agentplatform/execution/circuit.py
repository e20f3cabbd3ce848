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


def failed(
    circuit: Circuit, policy: CircuitPolicy, now: float, *, probes: bool, open_until: float = 0.0
) -> Circuit:
    """Counts a failure. A failed probe opens again; `open_until` opens at once; the longest deadline wins.

    An attempt that was under way when the circuit opened says nothing new.
    """
    if circuit.is_tripped and not (probes or open_until):
        return circuit
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


@dataclass(frozen=True, slots=True)
class Trip:
    """A circuit has opened, for `open_seconds`; `reason` is the code of the failure, or who opened it."""

    key: str
    reason: str
    open_seconds: float


class CircuitListener(Protocol):
    """Told once, by the process whose report it was, when a circuit opens and when it closes again."""

    def opened(self, trip: Trip) -> None: ...

    def closed(self, key: str) -> None: ...


class CircuitBreaker:
    """Guards attempts on endpoints. A closed circuit costs one read, and a write only when an attempt fails."""

    def __init__(
        self, store: CircuitStore, policy: CircuitPolicy, listener: CircuitListener | None = None
    ) -> None:
        self._store = store
        self._policy = policy
        self._listener = listener

    def phase(self, key: str) -> Phase:
        circuit, now = self._store.read(key)
        return circuit.phase(now)

    @contextmanager
    def guard(self, key: str, *, trips: Callable[[Exception], bool]) -> Iterator[None]:
        """One attempt. Raises CircuitOpen instead of making it; an error that `trips` counts as a failure."""
        admission = self.admit(key)
        if not admission.passes:
            raise CircuitOpen(key, admission.retry_after_seconds)
        try:
            yield
        except Exception as error:
            if trips(error):
                self.failed(key, admission, type(error).__name__)
            elif admission.probes:
                self.succeeded(key)
            raise
        if admission.probes:
            self.succeeded(key)

    def admit(self, key: str) -> Admission:
        """Whether an attempt may be made; whoever makes it reports with `failed`, a probe with `succeeded` or `release`."""
        circuit, now = self._store.read(key)
        if circuit.phase(now) is not Phase.HALF_OPEN:
            return admit(circuit, self._policy, now)[1]
        return self._store.change(key, lambda circuit, now: admit(circuit, self._policy, now))

    def failed(self, key: str, admission: Admission, reason: str, *, open_seconds: float = 0.0) -> None:
        """An attempt failed through the endpoint's fault. With `open_seconds` the circuit opens at once, for so long."""

        def decide(circuit: Circuit, now: float) -> tuple[Circuit, Trip | None]:
            until = now + open_seconds if open_seconds else 0.0
            after = failed(circuit, self._policy, now, probes=admission.probes, open_until=until)
            opens = after.is_tripped and (after.open_until > circuit.open_until or not circuit.is_tripped)
            return after, Trip(key, reason, after.open_until - now) if opens else None

        trip = self._store.change(key, decide)
        if trip is not None and self._listener is not None:
            self._listener.opened(trip)

    def release(self, key: str) -> None:
        """A probe was not made after all: the next attempt may be it."""
        self._store.change(key, lambda circuit, now: (replace(circuit, probe_until=0.0), None))

    def succeeded(self, key: str) -> None:
        """A probe was answered: the circuit closes."""
        self._close(key)

    def open(self, key: str, seconds: float, reason: str = "manual") -> None:
        """Opens the circuit by hand."""
        self.failed(key, Admission(True), reason, open_seconds=seconds)

    def reset(self, key: str) -> None:
        """Closes the circuit by hand."""
        self._close(key)

    def _close(self, key: str) -> None:
        was_tripped = self._store.change(key, lambda circuit, now: (Circuit(), circuit.is_tripped))
        if was_tripped and self._listener is not None:
            self._listener.closed(key)
