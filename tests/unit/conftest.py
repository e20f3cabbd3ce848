"""A real simulator on a free port, and the real SDK pointed at it."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx2
import pytest

from agentplatform.simulator.server import build_server, open_socket
from agentplatform.simulator.settings import SimulatorSettings


@dataclass(frozen=True)
class RunningSimulator:
    """A simulator served by a thread of this process, with its control endpoints."""

    url: str
    http: httpx2.Client = field(default_factory=httpx2.Client)
    clients: dict[str, anthropic.Anthropic] = field(default_factory=dict)

    def client(self, api_key: str = "test-key") -> anthropic.Anthropic:
        """The SDK client with this key; it retries nothing."""
        if api_key not in self.clients:
            self.clients[api_key] = anthropic.Anthropic(api_key=api_key, base_url=self.url, max_retries=0)
        return self.clients[api_key]

    def post(self, path: str, body: Any, **headers: str) -> httpx2.Response:
        """A raw authorised request, for what the SDK would not send."""
        base = {"x-api-key": "test-key", "anthropic-version": "2026-10-21"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(f"{self.url}{path}", json=body, headers={**base, **named})

    def fault(self, **fields: Any) -> dict[str, Any]:
        """Script a fault."""
        response = self.http.post(f"{self.url}/_control/faults", json=fields)
        assert response.status_code == 201, response.text
        return response.json()

    def calls(self, **query: str) -> dict[str, Any]:
        """What was received."""
        return self.http.get(f"{self.url}/_control/calls", params=query).json()

    def set_provider(self, name: str, **settings: Any) -> None:
        """Change a provider's settings."""
        response = self.http.patch(f"{self.url}/_control/providers/{name}", json=settings)
        assert response.status_code == 200, response.text

    def provider(self, name: str) -> dict[str, Any]:
        """A provider's settings and counts."""
        return self.http.get(f"{self.url}/_control/providers/{name}").json()

    def advance(self, seconds: float) -> None:
        """Move the simulator's clock forward."""
        response = self.http.post(f"{self.url}/_control/clock", json={"advance_seconds": seconds})
        assert response.status_code == 200, response.text

    def reset(self) -> None:
        """Clear faults, calls and whatever providers were set to."""
        for resource in ("faults", "calls", "providers"):
            self.http.delete(f"{self.url}/_control/{resource}")


def serve(settings: SimulatorSettings) -> Iterator[RunningSimulator]:
    """Serve until the generator is closed."""
    listener: socket.socket = open_socket("127.0.0.1", 0)
    server = build_server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline, "the simulator did not start"
        time.sleep(0.01)
    simulator = RunningSimulator(f"http://127.0.0.1:{listener.getsockname()[1]}")
    yield simulator
    for client in (simulator.http, *simulator.clients.values()):
        client.close()
    server.should_exit = True
    thread.join(timeout=10)
    assert not thread.is_alive(), "the simulator did not stop"


@pytest.fixture(scope="session")
def _fast_simulator() -> Iterator[RunningSimulator]:
    yield from serve(SimulatorSettings(latency_scale=0))


@pytest.fixture(scope="session")
def _slow_simulator() -> Iterator[RunningSimulator]:
    yield from serve(SimulatorSettings(seed=7, latency_scale=0.5))


@pytest.fixture
def simulator(_fast_simulator: RunningSimulator) -> RunningSimulator:
    """A simulator that answers at once, without faults and with no calls counted."""
    _fast_simulator.reset()
    return _fast_simulator


@pytest.fixture
def slow_simulator(_slow_simulator: RunningSimulator) -> RunningSimulator:
    """A simulator at half the latency of the real models."""
    _slow_simulator.reset()
    return _slow_simulator


@pytest.fixture
def client(simulator: RunningSimulator) -> anthropic.Anthropic:
    """The SDK pointed at the fast simulator."""
    return simulator.client()
