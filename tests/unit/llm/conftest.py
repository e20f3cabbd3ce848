"""What the tests of the door to models share: a journal in memory, and the real adapter over HTTP."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agentplatform.execution.circuit import CircuitBreaker, CircuitPolicy, LocalCircuits
from agentplatform.execution.deadlines import Deadline
from agentplatform.execution.retry import RetryPolicy
from agentplatform.llm.catalogue import DEFAULT_CATALOGUE, Catalogue, ProviderKind, ProviderSettings
from agentplatform.llm.gate import LocalGate, ProviderGate
from agentplatform.llm.gateway import Gateway
from agentplatform.llm.journal import Settlement, StartedCall, StepIdentity, StepJournal
from agentplatform.llm.messages import ModelRequest
from agentplatform.llm.model import CallContext, Provider
from agentplatform.llm.providers.anthropic import AnthropicModel
from agentplatform.llm.providers.clients import client_of
from agentplatform.llm.routing.complexity import ComplexityScorer
from agentplatform.llm.tiers import Tier
from tests.unit.conftest import RunningSimulator


class Calls:
    """A store of calls that keeps, in order, what was written to it."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []

    def start(self, call: StartedCall, settlements: Sequence[Settlement]) -> None:
        self.settle(settlements)
        self.log.append(("start", call))

    def settle(self, settlements: Iterable[Settlement]) -> None:
        self.log += [("settle", settlement) for settlement in settlements]

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.log]


def identity(attempt: int = 1) -> StepIdentity:
    """An attempt of one step."""
    one = uuid.UUID(int=1)
    return StepIdentity(one, one, one, attempt, "answer_question", "answer")


def request(
    content: str = "Say something about leases.", *, tier: Tier = Tier.FAST, max_tokens: int = 300
) -> ModelRequest:
    """A request for one answer."""
    return ModelRequest(tier, ({"role": "user", "content": content},), max_tokens)


def context(seconds: float = 20, model: str = "claude-haiku-5-5") -> CallContext:
    """The circumstances of a call that has this long."""
    return CallContext(Deadline.after(seconds), model=model)


def provider_at(url: str, name: str = "anthropic", api_key: str = "test-key") -> AnthropicModel:
    """A provider that speaks the Messages API at this address."""
    settings = ProviderSettings(name, ProviderKind.ANTHROPIC, secret=api_key, base_url=url)
    return AnthropicModel(client_of(settings), provider=name)


def gateway_to(
    providers: Mapping[str, Provider],
    catalogue: Catalogue = DEFAULT_CATALOGUE,
    *,
    gate: ProviderGate | None = None,
    **options: Any,
) -> Gateway:
    """The door to models, with these providers, and circuits of its own."""
    own_gate = LocalGate(CircuitBreaker(LocalCircuits(), CircuitPolicy()))
    return Gateway(
        catalogue=lambda: catalogue,
        providers=lambda name: providers[name],
        gate=gate or own_gate,
        score=ComplexityScorer.load().score,
        **options,
    )


@pytest.fixture
def calls() -> Calls:
    """Nothing written yet."""
    return Calls()


@pytest.fixture
def journal(calls: Calls) -> StepJournal:
    """The journal of a first attempt."""
    return StepJournal(identity(), calls)


@pytest.fixture(scope="session")
def _provider(_fast_simulator: RunningSimulator) -> AnthropicModel:
    return provider_at(_fast_simulator.url)


@pytest.fixture
def provider(simulator: RunningSimulator, _provider: AnthropicModel) -> AnthropicModel:
    """The adapter, on a simulator without faults."""
    return _provider


@pytest.fixture
def gateway(provider: AnthropicModel) -> Gateway:
    """The door to models, with that provider; it tries nothing again."""
    return gateway_to({"anthropic": provider}, blips=RetryPolicy(max_attempts=1))


@pytest.fixture
def raw_server() -> Iterator[Callable[[bytes], str]]:
    """Serves these bytes as the stream of an answer, whatever is asked; for what no simulator should send."""
    servers: list[ThreadingHTTPServer] = []

    def start(body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(502 if "status=502" in self.path else 200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
