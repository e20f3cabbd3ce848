"""How long a model's first token takes to the client: from the simulator's sending it to the event's arrival."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime

import httpx2

from config.stack.stack import Stack
from tests.benchmarks.results import Result

CALLS = 200
WARM_UP = 10
THINKING_SECONDS = 0.1
"""Before its first byte, so that the client has opened its stream by then."""


def measure(stack: Stack, key: str) -> list[Result]:
    """One call after the other, each with a stream that is opened once it is submitted."""
    simulator = f"http://127.0.0.1:{stack.ports['SIMULATOR_PORT']}"
    delays = first_token_delays(stack.base_url, simulator, key, CALLS + WARM_UP)[WARM_UP:]
    percentiles = statistics.quantiles([1000 * delay for delay in delays], n=100)
    return [
        Result("first token, simulator to client, p50", percentiles[49], "ms"),
        Result("first token, simulator to client, p99", percentiles[98], "ms", goal="< 50"),
    ]


def first_token_delays(base_url: str, simulator_url: str, key: str, calls: int) -> list[float]:
    """Seconds from the sending of each call's first token to the arrival of its event; both on one clock."""
    control = f"{simulator_url}/_control"
    delays = []
    with httpx2.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        httpx2.post(f"{control}/faults", json={"delay_seconds": THINKING_SECONDS}).raise_for_status()
        for _ in range(calls):
            httpx2.delete(f"{control}/calls").raise_for_status()
            arrived_at = _first_token(client)
            (call,) = httpx2.get(f"{control}/calls").json()["calls"]
            delays.append((arrived_at - datetime.fromisoformat(call["first_token_at"])).total_seconds())
        httpx2.delete(f"{control}/faults")
    return delays


def _first_token(client: httpx2.Client) -> datetime:
    body = {"type": "one_ask", "input": {"calls": 1}, "priority": "interactive"}
    response = client.post("/api/v1/workflows/", json=body)
    response.raise_for_status()
    with client.stream("GET", response.json()["events_url"]) as stream:
        for line in stream.iter_lines():
            if line == "event: token":
                return datetime.now(UTC)
    raise SystemExit("a stream ended without a token; does the simulator answer?")
