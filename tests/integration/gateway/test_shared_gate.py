"""The gate that all processes share through a real Redis: rates, circuits, fairness, prefixes."""

from __future__ import annotations

import time
import uuid

import pytest
import redis
from django.conf import settings

from agentplatform.execution.circuit import CircuitPolicy, Trip
from agentplatform.llm.catalogue import RateLimits, Target
from agentplatform.llm.errors import Interrupted, ModelError
from agentplatform.llm.gate import CallReport, Demand, Passage, Refusal
from agentplatform.llm.messages import Usage
from agentplatform.llm.model import RateReport
from apps.gateway.gate import SharedGate
from tests.integration.stack.launching import free_ports

POLICY = CircuitPolicy(failures=3, window_seconds=60, open_seconds=0.3, probe_seconds=5)
ONE, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)


class Heard:
    """A listener that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def opened(self, trip: Trip) -> None:
        self.events.append(f"opened by {trip.reason}")

    def closed(self, key: str) -> None:
        self.events.append("closed")


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def gates(heard: Heard) -> list[SharedGate]:
    """The gates of three processes."""
    return [SharedGate(redis.Redis.from_url(settings.REDIS_URL), POLICY, heard) for _ in range(3)]


def target(name: str = "one", **limits: int) -> Target:
    """A model nobody has called before."""
    return Target(
        f"{name}-{uuid.uuid4()}", "claude-haiku-5-5", "claude-haiku-5-5", rates=RateLimits(**limits)
    )


def demand(tenant: uuid.UUID = ONE, tokens: int = 10, output: int = 10, prefix: str = "") -> Demand:
    return Demand(tenant, tokens, output, prefix)


def enter(gate: SharedGate, *targets: Target, **more: object) -> Passage | Refusal:
    return gate.enter(targets, demand(**more))  # type: ignore[arg-type]


def overloaded(unavailable_seconds: float = 0.0) -> ModelError:
    return ModelError(
        "overloaded_error", "…", transient=True, is_providers=True, unavailable_seconds=unavailable_seconds
    )


def test_no_more_than_the_rate_is_let_through_by_all_processes_together(gates: list[SharedGate]) -> None:
    """Whoever comes after is told to wait until the first has left the minute."""
    limited = target(requests=6)
    entered = [enter(gates[number % 3], limited) for number in range(8)]
    assert [isinstance(one, Passage) for one in entered] == [True] * 6 + [False] * 2
    refused = entered[6]
    assert isinstance(refused, Refusal)
    assert refused.code == "rate_limited"
    assert 55 < refused.wait_seconds < 63


@pytest.mark.parametrize("limits", [{"input_tokens": 100}, {"output_tokens": 100}])
def test_tokens_are_limited_and_corrected_by_what_was_used(
    gates: list[SharedGate], limits: dict[str, int]
) -> None:
    """A call takes what it may use, and gives back what it has not."""
    limited = target(**limits)
    first = enter(gates[0], limited, tokens=80, output=80)
    assert isinstance(first, Passage)
    assert isinstance(enter(gates[1], limited, tokens=80, output=80), Refusal)
    gates[0].leave(first, CallReport(usage=Usage(input_tokens=20, output_tokens=20)))
    gates[0].flush()
    assert isinstance(enter(gates[1], limited, tokens=80, output=80), Passage)


def test_a_call_that_is_sent_late_counts_from_then(gates: list[SharedGate]) -> None:
    """The provider's minute begins when it arrives."""
    limited = target(requests=1)
    first = enter(gates[0], limited)
    assert isinstance(first, Passage)
    at_once = enter(gates[1], limited)
    assert isinstance(at_once, Refusal)
    time.sleep(1.2)
    gates[0].leave(first, CallReport(usage=Usage(1, 1), late_seconds=1.0))
    gates[0].flush()
    later = enter(gates[1], limited)
    assert isinstance(later, Refusal)
    assert later.wait_seconds > at_once.wait_seconds - 0.5


def test_what_came_from_the_prompt_cache_does_not_count(gates: list[SharedGate]) -> None:
    """Providers do not count it either."""
    limited = target(input_tokens=100)
    first = enter(gates[0], limited, tokens=100)
    assert isinstance(first, Passage)
    gates[0].leave(first, CallReport(usage=Usage(input_tokens=10, cache_read_tokens=90)))
    gates[0].flush()
    assert isinstance(enter(gates[0], limited, tokens=90), Passage)


def test_a_call_larger_than_the_rate_takes_the_whole_of_it(gates: list[SharedGate]) -> None:
    """It could never be made otherwise."""
    limited = target(input_tokens=100)
    assert isinstance(enter(gates[0], limited, tokens=1_000), Passage)
    assert isinstance(enter(gates[0], limited, tokens=1), Refusal)


def test_the_next_provider_takes_what_the_first_has_no_rate_for(gates: list[SharedGate]) -> None:
    """In their order."""
    first, second = target("first", requests=1), target("second", requests=1)
    passed = [enter(gates[0], first, second) for _ in range(2)]
    assert [one.target for one in passed if isinstance(one, Passage)] == [first, second]
    assert isinstance(enter(gates[0], first, second), Refusal)


def test_a_waiting_tenant_is_not_overtaken_by_one_that_has_had_its_share(gates: list[SharedGate]) -> None:
    """A flood gets the whole rate only while nobody else wants any."""
    limited = target(input_tokens=100)
    taken = [enter(gates[0], limited, tenant=ONE, tokens=50) for _ in range(2)]
    assert isinstance(enter(gates[0], limited, tenant=OTHER, tokens=50), Refusal)
    first = taken[0]
    assert isinstance(first, Passage)
    gates[0].leave(first, CallReport(usage=Usage(input_tokens=0)))
    gates[0].flush()
    refused = enter(gates[1], limited, tenant=ONE, tokens=50)
    assert isinstance(refused, Refusal)
    assert isinstance(enter(gates[1], limited, tenant=OTHER, tokens=50), Passage)


def test_limits_that_a_provider_tells_of_hold_for_all(gates: list[SharedGate]) -> None:
    """Nobody had to set them."""
    told = target()
    first = enter(gates[0], told)
    assert isinstance(first, Passage)
    rates = RateReport(limits=RateLimits(requests=2), remaining=RateLimits(requests=1))
    gates[0].leave(first, CallReport(usage=Usage(1, 1), rates=rates))
    gates[0].flush()
    assert [isinstance(enter(gates[1], told), Passage) for _ in range(3)] == [True, True, False]


def test_what_somebody_else_has_used_of_the_account_counts(gates: list[SharedGate]) -> None:
    """The provider says that less is left than we know of."""
    shared = target(requests=10)
    first = enter(gates[0], shared)
    assert isinstance(first, Passage)
    rates = RateReport(limits=RateLimits(requests=10), remaining=RateLimits(requests=1))
    gates[0].leave(first, CallReport(usage=Usage(1, 1), rates=rates))
    gates[0].flush()
    assert [isinstance(enter(gates[1], shared), Passage) for _ in range(2)] == [True, False]


def test_a_provider_over_its_rate_is_left_alone_for_as_long_as_it_asks(gates: list[SharedGate]) -> None:
    """One 429 is enough for all processes."""
    busy = target()
    first = enter(gates[0], busy)
    assert isinstance(first, Passage)
    error = ModelError("rate_limit_error", "…", transient=True, retry_after_seconds=30)
    gates[0].leave(first, CallReport(error=error))
    gates[0].flush()
    refused = enter(gates[1], busy)
    assert isinstance(refused, Refusal)
    assert (refused.code, 25 < refused.wait_seconds <= 30) == ("rate_limited", True)


def test_a_circuit_opens_once_for_all_and_one_probe_closes_it(gates: list[SharedGate], heard: Heard) -> None:
    """Failures count together; stragglers open nothing again."""
    failing = target()
    passages = [enter(gate, failing) for gate in (*gates, gates[0])]
    for gate, passage in zip((*gates, gates[0]), passages, strict=True):
        assert isinstance(passage, Passage)
        gate.leave(passage, CallReport(error=overloaded()))
    assert heard.events == ["opened by overloaded_error"]
    refused = enter(gates[1], failing)
    assert isinstance(refused, Refusal)
    assert refused.code == "circuit_open"
    time.sleep(0.35)
    probe = enter(gates[2], failing)
    assert isinstance(probe, Passage)
    assert probe.admission.probes
    assert isinstance(enter(gates[0], failing), Refusal)
    gates[2].leave(probe, CallReport(usage=Usage(1, 1)))
    assert heard.events == ["opened by overloaded_error", "closed"]
    assert isinstance(enter(gates[0], failing), Passage)


def test_a_probe_that_was_not_made_leaves_the_place_to_the_next(
    gates: list[SharedGate], heard: Heard
) -> None:
    """It says nothing of the provider: neither does the circuit close, nor is it waited for."""
    failing = target(requests=5)
    for _ in range(3):
        passage = enter(gates[0], failing)
        assert isinstance(passage, Passage)
        gates[0].leave(passage, CallReport(error=overloaded()))
    time.sleep(0.35)
    for _ in range(2):
        probe = enter(gates[0], failing)
        assert isinstance(probe, Passage)
        assert probe.admission.probes
        cancelled = Interrupted("interrupted", "…", transient=True)
        gates[0].leave(probe, CallReport(error=cancelled, was_answered=False))
    assert heard.events == ["opened by overloaded_error"]
    # The rate is used up by now: who may probe and finds no room gives the place back.
    refused = enter(gates[1], failing)
    assert isinstance(refused, Refusal)
    assert refused.code == "rate_limited"
    gates[1].leave(probe, CallReport())
    assert heard.events[-1] == "closed"


def test_a_bad_request_opens_nothing(gates: list[SharedGate], heard: Heard) -> None:
    """The provider is well."""
    well = target()
    for _ in range(5):
        passage = enter(gates[0], well)
        assert isinstance(passage, Passage)
        gates[0].leave(passage, CallReport(error=ModelError("invalid_request_error", "…", transient=False)))
    assert heard.events == []


def test_a_limit_of_spending_opens_the_circuit_until_its_date(gates: list[SharedGate]) -> None:
    """At once, and for long."""
    spent = target()
    passage = enter(gates[0], spent)
    assert isinstance(passage, Passage)
    gates[0].leave(passage, CallReport(error=overloaded(unavailable_seconds=86_400)))
    refused = enter(gates[1], spent)
    assert isinstance(refused, Refusal)
    assert 86_000 < refused.wait_seconds <= 86_400


def test_a_prefix_is_known_to_all_once_one_has_sent_it(gates: list[SharedGate]) -> None:
    """With how long ago that was."""
    prefix = uuid.uuid4().hex
    first, second = (enter(gate, target(), prefix=prefix) for gate in gates[:2])
    assert isinstance(first, Passage)
    assert isinstance(second, Passage)
    assert first.prefix_seen_seconds_ago is None
    assert second.prefix_seen_seconds_ago is not None
    assert 0 <= second.prefix_seen_seconds_ago < 5


def test_without_redis_circuits_are_the_processs_own(heard: Heard) -> None:
    """Calls go on, and failures still count."""
    (port,) = free_ports(1)
    gate = SharedGate(redis.Redis.from_url(f"redis://127.0.0.1:{port}/0"), POLICY, heard)
    failing = target(requests=1)
    for _ in range(3):
        passage = enter(gate, failing)
        assert isinstance(passage, Passage)
        gate.leave(passage, CallReport(error=overloaded()))
    assert isinstance(enter(gate, failing), Refusal)
