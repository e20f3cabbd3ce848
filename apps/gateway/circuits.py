"""The circuits of all providers, and of tools: how they stand, and what operators do to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import redis
from django.conf import settings
from django.db.models import Count, Max
from django.db.models.functions import Now

from agentplatform.agents.tools.toolbox import POLICY as TOOL_POLICY
from agentplatform.execution.circuit import Circuit, CircuitBreaker, CircuitPolicy, Phase
from apps.circuits import shared_circuits
from apps.gateway.models import CircuitTrip, TierProvider
from apps.gateway.services import trips

MAX_OPEN_SECONDS = 24 * 3600.0
"""For how long a circuit is opened by hand, at most."""

POLICY = CircuitPolicy(open_seconds=settings.CIRCUIT_OPEN_SECONDS)
"""When circuits of providers open, and for how long."""


TOOL_PREFIX = "tool/"
"""What the keys of tools' circuits begin with; a tool that asks many hosts has one for each."""

MAX_TOOL_CIRCUITS = 200


class CircuitsAway(Exception):
    """What all processes share cannot be read or changed at the moment."""

    def __init__(self) -> None:
        super().__init__(
            "The cache server does not answer. Until it does, each process keeps circuits of its own, and none can be "
            "opened or reset by hand. Try again."
        )


@dataclass(frozen=True, slots=True)
class CircuitState:
    """How the circuit of a model at a provider stands. `open_until` is None for a closed one."""

    provider: str
    model: str
    is_enabled: bool
    phase: Phase
    open_until: datetime | None
    recent_failures: int
    trips_last_day: int
    last_tripped_at: datetime | None

    @property
    def key(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class ToolCircuitState:
    """How the circuit of a tool stands that has opened lately. `open_until` is None for a closed one."""

    key: str
    phase: Phase
    open_until: datetime | None
    recent_failures: int
    trips_last_day: int
    last_tripped_at: datetime


def circuit_states() -> list[CircuitState]:
    """Every model at every provider that serves it, by provider. Raises CircuitsAway."""
    rows = TierProvider.objects.order_by("provider_id", "tier__max_complexity").values_list(
        "provider_id", "tier__model", "provider__is_enabled"
    )
    found = list(dict.fromkeys(rows))
    keys = [f"{provider}/{model}" for provider, model, _ in found]
    with _shared():
        circuits, now = shared_circuits().read_all(keys)
    history = _history(keys)
    return [
        _state(*place, circuit, now, *history.get(key, (0, None)))
        for place, key, circuit in zip(found, keys, circuits, strict=True)
    ]


def circuit_state(provider: str, model: str) -> CircuitState | None:
    """That of one circuit; None where no tier has the model at the provider. Raises CircuitsAway."""
    return next((one for one in circuit_states() if (one.provider, one.model) == (provider, model)), None)


def tool_circuit_states() -> list[ToolCircuitState]:
    """Circuits of tools that have opened in the last day, the latest first. Raises CircuitsAway."""
    lately = CircuitTrip.objects.filter(
        circuit__startswith=TOOL_PREFIX, opened_at__gt=Now() - timedelta(days=1)
    )
    counted = lately.order_by().values_list("circuit").annotate(Count("pk"), last=Max("opened_at"))
    rows = list(counted.order_by("-last")[:MAX_TOOL_CIRCUITS])
    with _shared():
        circuits, now = shared_circuits().read_all([key for key, _, _ in rows])
    return [
        ToolCircuitState(
            key=key,
            phase=circuit.phase(now),
            open_until=_open_until(circuit),
            recent_failures=_failures_since(circuit, now - TOOL_POLICY.window_seconds),
            trips_last_day=count,
            last_tripped_at=last,
        )
        for (key, count, last), circuit in zip(rows, circuits, strict=True)
    ]


def tool_circuit_state(key: str) -> ToolCircuitState | None:
    """That of one circuit; None where it has not opened in the last day. Raises CircuitsAway."""
    return next((one for one in tool_circuit_states() if one.key == key), None)


def circuit_open(key: str, seconds: float, *, by: str) -> None:
    """Lets no call pass for so long; one that is open for longer stays so. Raises CircuitsAway."""
    with _shared():
        _breaker().open(key, seconds, f"by {by}")


def circuit_reset(key: str) -> None:
    """Closes a circuit and forgets its failures. Raises CircuitsAway."""
    with _shared():
        _breaker().reset(key)
    # A circuit that the cache server has lost is closed, and nobody has told its history.
    CircuitTrip.objects.filter(circuit=key, closed_at=None).update(closed_at=Now())


def _breaker() -> CircuitBreaker:
    return CircuitBreaker(shared_circuits(), POLICY, trips)


@contextmanager
def _shared() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise CircuitsAway from error


def _history(keys: list[str]) -> dict[str, tuple[int, datetime]]:
    lately = CircuitTrip.objects.filter(circuit__in=keys, opened_at__gt=Now() - timedelta(days=1))
    counted = lately.order_by().values_list("circuit").annotate(Count("pk"), Max("opened_at"))
    return {circuit: (count, last) for circuit, count, last in counted}


def _state(
    provider: str,
    model: str,
    is_enabled: bool,
    circuit: Circuit,
    now: float,
    trips_last_day: int,
    last_tripped_at: datetime | None,
) -> CircuitState:
    return CircuitState(
        provider=provider,
        model=model,
        is_enabled=is_enabled,
        phase=circuit.phase(now),
        open_until=_open_until(circuit),
        recent_failures=_failures_since(circuit, now - POLICY.window_seconds),
        trips_last_day=trips_last_day,
        last_tripped_at=last_tripped_at,
    )


def _open_until(circuit: Circuit) -> datetime | None:
    return datetime.fromtimestamp(circuit.open_until, UTC) if circuit.is_tripped else None


def _failures_since(circuit: Circuit, since: float) -> int:
    return sum(at > since for at in circuit.failed_at)
