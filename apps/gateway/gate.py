"""The gate before the providers that all processes share, in Redis; per process while Redis is away."""

from __future__ import annotations

import functools
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import orjson
import redis
from django.conf import settings

from agentplatform.execution.circuit import Admission, CircuitBreaker, CircuitListener, CircuitPolicy
from agentplatform.llm.catalogue import Target
from agentplatform.llm.gate import (
    CallReport,
    Demand,
    LocalGate,
    Passage,
    Refusal,
    report_to_breaker,
)
from agentplatform.llm.model import RateReport
from apps.circuits import PREFIX as CIRCUIT_PREFIX
from apps.circuits import SharedCircuits
from apps.gateway.circuits import POLICY
from apps.gateway.services import trips

RATE_PREFIX = "agentplatform.rate."
SEEN_PREFIX = "agentplatform.prefix."
WINDOW_SECONDS = 61
"""A minute, and a second in which a call may be on its way to the provider."""

LATE_SECONDS = 0.5
"""A call that is sent so long after it was let through counts from when it was sent."""

FLUSH_SECONDS = 0.1
FRESH_SECONDS = 2.0
"""How old what a provider says it has left may be: its bucket fills again meanwhile."""

MOST_BLOCKED_SECONDS = 600.0
UNSAID_BLOCKED_SECONDS = 1.0
"""How long a provider that is over its rate is left alone, when it does not say how long."""

_LUA = Path(__file__).parent / "lua"

logger = logging.getLogger(__name__)


class SharedGate:
    """A ProviderGate. Entering takes one round trip; corrections go along with the next, or soon after."""

    def __init__(self, client: redis.Redis, policy: CircuitPolicy, listener: CircuitListener) -> None:
        self._client = client
        self._breaker = CircuitBreaker(SharedCircuits(client), policy, listener)
        self._local = LocalGate(self._breaker)
        self._enter = client.register_script((_LUA / "enter.lua").read_text())
        self._corrections: deque[dict[str, Any]] = deque(maxlen=10_000)
        self._learned: dict[str, tuple[Any, float]] = {}
        self._flusher: threading.Thread | None = None
        self._lock = threading.Lock()

    def enter(self, targets: Sequence[Target], demand: Demand) -> Passage | Refusal:
        try:
            return self._enter_shared(list(targets), demand)
        except redis.RedisError as error:
            logger.warning("redis does not answer (%s): rates are not kept", type(error).__name__)
            return self._local.enter(targets, demand)

    def leave(self, passage: Passage, report: CallReport) -> None:
        correction = self._correction(passage, report)
        if correction is not None:
            self._corrections.append(correction)
            self._ensure_flusher()
        report_to_breaker(self._breaker, passage, report)

    def flush(self) -> None:
        """Writes the corrections that are waiting."""
        if self._corrections:
            self._run_script([], Demand(uuid.UUID(int=0), 0, 0), "", {})

    def _enter_shared(self, targets: list[Target], demand: Demand) -> Passage | Refusal:
        token = uuid.uuid4().hex
        probes: dict[str, Admission] = {}
        refused: Refusal | None = None
        while targets:
            answer = self._run_script(targets, demand, token, probes)
            match answer[0]:
                case b"passed":
                    target = targets[answer[1] - 1]
                    seen = float(answer[3]) if answer[3] else None
                    admission = probes.get(target.circuit, Admission(True))
                    return Passage(target, demand, admission, seen, answer[2])
                case b"refused":
                    for circuit in probes:
                        self._breaker.release(circuit)
                    return Refusal(answer[1].decode(), float(answer[2]))
            target = targets[answer[1] - 1]
            admission = self._breaker.admit(target.circuit)
            if admission.passes:
                probes[target.circuit] = admission
            else:
                refused = Refusal("circuit_open", admission.retry_after_seconds)
                targets.remove(target)
        assert refused is not None
        return refused

    def _run_script(
        self, targets: Sequence[Target], demand: Demand, token: str, probes: dict[str, Admission]
    ) -> Any:
        told = {
            "window": WINDOW_SECONDS,
            "corrections": self._take_corrections(),
            "tenant": str(demand.tenant_id),
            "token": token,
            "costs": [1, demand.input_tokens, demand.output_tokens],
            "prefix": SEEN_PREFIX + demand.prefix_hash if demand.prefix_hash else "",
            "targets": [
                {
                    "circuit": CIRCUIT_PREFIX + target.circuit,
                    "rate": RATE_PREFIX + target.rate_key,
                    "limits": [limit or 0 for limit in astuple(target.rates)],
                    "probes": target.circuit in probes,
                }
                for target in targets
            ],
        }
        return self._enter(args=[orjson.dumps(told)])

    def _take_corrections(self) -> list[dict[str, Any]]:
        taken = []
        while self._corrections:
            try:
                taken.append(self._corrections.popleft())
            except IndexError:  # another thread was faster
                break
        return taken

    def _correction(self, passage: Passage, report: CallReport) -> dict[str, Any] | None:
        """What the store is to be told of a call; None when it knows already."""
        tick, usage, demand = passage.tick, report.usage, passage.demand
        # What comes from the prompt cache does not count.
        used = [1, usage.total_input_tokens - usage.cache_read_tokens, usage.output_tokens]
        less = [0, demand.input_tokens - used[1], demand.output_tokens - used[2]]
        late = report.late_seconds if report.late_seconds > LATE_SECONDS else 0.0
        blocked = _blocked_seconds(report)
        learned, remaining = self._news(passage.target, report.rates)
        if not blocked and not any(learned) and (not tick or not (late or any(less))):
            return None
        return {
            "rate": RATE_PREFIX + passage.target.rate_key,
            "tick": tick,
            "sent": int(late * 10),
            "used": used,
            "less": less,
            "learned": learned,
            "remaining": remaining,
            "blocked_seconds": blocked,
        }

    def _news(self, target: Target, rates: RateReport | None) -> tuple[list[int], list[int]]:
        """The limits that a provider told of, and what it has left, unless this process has said so lately."""
        nothing = [0, 0, 0], [-1, -1, -1]
        if rates is None:
            return nothing
        now = time.monotonic()
        limits = [limit or 0 for limit in astuple(rates.limits)]
        known, at = self._learned.get(target.rate_key, (None, 0.0))
        if known == limits and now - at < 1.0:
            return nothing
        self._learned[target.rate_key] = (limits, now)
        if now - rates.received_at > FRESH_SECONDS:
            return limits, [-1, -1, -1]
        return limits, [-1 if left is None else left for left in astuple(rates.remaining)]

    def _ensure_flusher(self) -> None:
        with self._lock:
            if self._flusher is None:
                self._flusher = threading.Thread(target=self._run, name="gate-corrections", daemon=True)
                self._flusher.start()

    def _run(self) -> None:
        while True:
            time.sleep(FLUSH_SECONDS)
            try:
                self.flush()
            except redis.RedisError as error:
                logger.warning("redis does not answer (%s): rates stay as taken", type(error).__name__)


def _blocked_seconds(report: CallReport) -> float:
    """How long the provider takes nothing more of the family, by its own word."""
    if report.error is None or report.error.code not in ("rate_limit_error", "ramp_limit_exceeded"):
        return 0.0
    asked = report.error.retry_after_seconds
    return min(MOST_BLOCKED_SECONDS, UNSAID_BLOCKED_SECONDS if asked is None else asked)


@functools.cache
def shared_gate() -> SharedGate:
    """The gate of this installation."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5)
    return SharedGate(client, POLICY, trips)
