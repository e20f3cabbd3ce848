"""What the tests of kept answers share: workers whose gateways keep answers, each as a process of its own would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection

from agentplatform.agents.registry import registry
from agentplatform.execution.executor import ContinuationLimits, Executor
from agentplatform.execution.running import RunningSteps
from agentplatform.llm.caching.verifying import PairVerifier
from agentplatform.simulator.settings import SimulatorSettings
from apps.context_cache import quick_client
from apps.gateway import cache_selectors
from apps.gateway.answers import LEASE_PREFIX, PREFIX, SharedAnswers
from apps.workflows.models import Workflow
from apps.workflows.store import DatabaseCallStore, DatabaseStepStore
from tests.embedder import running_embedder
from tests.integration.conftest import Hand
from tests.integration.gateway.test_running_steps import Nobody
from tests.unit.conftest import RunningSimulator, serve
from tests.unit.llm.conftest import gateway_to, provider_at

Submit = Callable[..., Workflow]
LAYERS = frozenset({"exact", "semantic"})


@pytest.fixture(scope="module")
def _simulator() -> Iterator[RunningSimulator]:
    yield from serve(SimulatorSettings(latency_scale=0))


@pytest.fixture
def simulator(_simulator: RunningSimulator) -> RunningSimulator:
    """A simulator that answers at once, without faults and with no calls counted."""
    _simulator.reset()
    return _simulator


@pytest.fixture(scope="module")
def embedder() -> Iterator[None]:
    """The embedder, where the settings say it is."""
    with running_embedder(Path(settings.EMBEDDER_SOCKET)):
        yield


@pytest.fixture
def server() -> Iterator[redis.Redis]:
    """Redis itself, without any kept answer, before and after."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        _empty(client)
        cache_selectors._trust_of.cache_clear()
        cache_selectors._size_of.cache_clear()
        yield client
        _empty(client)


def _empty(client: redis.Redis) -> None:
    for prefix in (PREFIX, LEASE_PREFIX):
        for key in client.scan_iter(f"{prefix}*"):
            client.delete(key)


class KeepingWorker:
    """A worker whose gateway keeps answers, with a view of the stores of its own."""

    def __init__(self, simulator: RunningSimulator, hand: Hand, redis_url: str = "", **options: Any) -> None:
        self.hand = hand
        self.answers = SharedAnswers(quick_client(redis_url or settings.REDIS_URL), LAYERS)
        self.executor = Executor(
            store=DatabaseStepStore(hand.name),
            calls=DatabaseCallStore(),
            gateway=gateway_to(
                {"anthropic": provider_at(simulator.url)},
                answers=self.answers,
                verifier=PairVerifier.load,
                **options,
            ),
            find_agent=registry.find_agent,
            running=RunningSteps(),
            reports=Nobody(),
            limits=ContinuationLimits(),
        )

    def run(self, hint: tuple[Any, int]) -> None:
        """Runs the step of a hint."""
        try:
            self.executor.run(*hint)
        finally:
            connection.close()

    def work(self) -> None:
        """Runs whatever is admitted until nothing is, eight steps at a time."""
        with ThreadPoolExecutor(8) as threads:
            while hints := self.hand.admit():
                list(threads.map(self.run, hints))


@pytest.fixture
def worker(simulator: RunningSimulator, hand: Hand, server: redis.Redis) -> KeepingWorker:
    """A worker that nothing is kept for yet."""
    return KeepingWorker(simulator, hand)


@pytest.fixture
def answered(worker: KeepingWorker, submit: Submit) -> Callable[..., Workflow]:
    """Submits a question, has it answered, and returns the run as it has ended."""

    def answer(question: str = "How long is a lease?", type_: str = "one_question", **more: Any) -> Workflow:
        options = {name: more.pop(name) for name in ("tenant", "cache_control") if name in more}
        workflow = submit(type_, {"question": question, **more}, **options)
        worker.work()
        workflow.refresh_from_db()
        return workflow

    return answer
