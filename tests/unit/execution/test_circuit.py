"""Circuit breakers: closed, open, half-open with one probe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.execution.circuit import (
    Circuit,
    CircuitBreaker,
    CircuitOpen,
    CircuitPolicy,
    LocalCircuits,
    Phase,
    admit,
    failed,
)

POLICY = CircuitPolicy(failures=3, window_seconds=10, open_seconds=5, probe_seconds=20)


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(LocalCircuits(clock), POLICY)


def attempt(breaker: CircuitBreaker, error: Exception | None = None) -> None:
    """An attempt that fails with `error`, or succeeds; a ConnectionError trips."""
    with breaker.guard("there", trips=lambda raised: isinstance(raised, ConnectionError)):
        if error is not None:
            raise error


def trip(breaker: CircuitBreaker, times: int = POLICY.failures) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            attempt(breaker, ConnectionError())


def test_it_opens_after_so_many_failures(breaker: CircuitBreaker) -> None:
    """And then says when to come back; another endpoint is not concerned."""
    trip(breaker, 2)
    attempt(breaker)
    trip(breaker, 1)
    with pytest.raises(CircuitOpen) as refused:
        attempt(breaker)
    assert refused.value.retry_after_seconds == 5
    assert (breaker.phase("there"), breaker.phase("elsewhere")) == (Phase.OPEN, Phase.CLOSED)


def test_failures_long_ago_do_not_count(breaker: CircuitBreaker, clock: Clock) -> None:
    """Only those within the window."""
    trip(breaker, 2)
    clock.now += 11
    trip(breaker, 2)
    assert breaker.phase("there") is Phase.CLOSED


def test_an_error_that_is_not_the_endpoints_does_not_count(breaker: CircuitBreaker) -> None:
    """Such as a request that makes no sense."""
    for _ in range(10):
        with pytest.raises(ValueError):
            attempt(breaker, ValueError())
    assert breaker.phase("there") is Phase.CLOSED


def test_one_probe_is_let_through_and_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    """The others are refused until it has reported."""
    trip(breaker)
    clock.now += 5
    with breaker.guard("there", trips=lambda _: True), pytest.raises(CircuitOpen):
        attempt(breaker)
    attempt(breaker)
    assert breaker.phase("there") is Phase.CLOSED


def test_a_failed_probe_opens_it_again(breaker: CircuitBreaker, clock: Clock) -> None:
    """At the first failure, for the whole time."""
    trip(breaker)
    clock.now += 5
    trip(breaker, 1)
    clock.now += 4.9
    with pytest.raises(CircuitOpen):
        attempt(breaker)


def test_a_probe_that_never_reports_is_followed_by_another(breaker: CircuitBreaker, clock: Clock) -> None:
    """Its process may be gone."""
    trip(breaker)
    clock.now += 5
    guard = breaker.guard("there", trips=lambda _: True)
    guard.__enter__()
    clock.now += 19
    with pytest.raises(CircuitOpen):
        attempt(breaker)
    clock.now += 1
    attempt(breaker)
    assert breaker.phase("there") is Phase.CLOSED


def test_the_longest_deadline_wins(breaker: CircuitBreaker, clock: Clock) -> None:
    """One that the endpoint set itself is not shortened by a failure that comes late."""
    breaker.open("there", 3_600)
    clock.now += 10
    breaker.open("there", 1)
    clock.now += 3_000
    assert breaker.phase("there") is Phase.OPEN
    breaker.reset("there")
    attempt(breaker)


@given(st.lists(st.floats(0, 100), max_size=30), st.floats(0, 200))
def test_only_one_probes_whatever_came_before(times: list[float], later: float) -> None:
    """Of all who ask at one moment, at most one is let through a circuit that is not closed."""
    circuit = Circuit()
    for at in sorted(times):
        circuit = failed(circuit, POLICY, at, probes=False)
    now = max(times, default=0) + later
    admissions = []
    for _ in range(5):
        circuit, admission = admit(circuit, POLICY, now)
        admissions.append(admission)
    if circuit.phase(now) is not Phase.CLOSED:
        assert sum(admission.passes for admission in admissions) <= 1
    assert Circuit.from_json(circuit.to_json()) == circuit
