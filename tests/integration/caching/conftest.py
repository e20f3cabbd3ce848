"""What the tests of kept answers share: workers whose gateways keep answers, each as a process of its own would."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from apps.tenants.models import Tenant
from apps.workflows.batching import DatabaseBatchLane
from apps.workflows.models import Workflow
from apps.workflows.store import DatabaseCallStore
from tests.integration.conftest import Hand
from tests.integration.gateway.conftest import send_batches_at_once
from tests.integration.gateway.test_running_steps import Nobody
from tests.unit.conftest import RunningSimulator, serve
from tests.unit.llm.conftest import gateway_to, provider_at

Submit = Callable[..., Workflow]
Answered = Callable[..., Workflow]
LAYERS = frozenset({"exact", "semantic"})


@pytest.fixture(scope="module")
def _simulator() -> Iterator[RunningSimulator]:
    yield from serve(SimulatorSettings(latency_scale=0))


@pytest.fixture
def simulator(_simulator: RunningSimulator) -> RunningSimulator:
    """A simulator that answers at once, without faults and with no calls counted."""
    _simulator.reset()
    return _simulator


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
    """A worker of some queues whose gateway keeps answers, with a view of the stores of its own."""

    def __init__(
        self,
        simulator: RunningSimulator,
        queues: Sequence[str] = ("standard",),
        client: redis.Redis | None = None,
        **options: Any,
    ) -> None:
        self.hands = [Hand(f"keeping {queue}", queue=queue) for queue in queues]
        self.executor = Executor(
            store=self.hands[0].store,
            calls=DatabaseCallStore(),
            gateway=gateway_to(
                {"anthropic": provider_at(simulator.url)},
                answers=SharedAnswers(client or quick_client(settings.REDIS_URL), LAYERS),
                verifier=PairVerifier.load,
                **options,
            ),
            find_agent=registry.find_agent,
            running=RunningSteps(),
            reports=Nobody(),
            limits=ContinuationLimits(),
        )

    def _run(self, hint: tuple[Any, int]) -> None:
        try:
            self.executor.run(*hint)
        finally:
            connection.close()

    def work(self) -> int:
        """Runs whatever is admitted until nothing is, eight steps at a time; returns how many steps that were."""
        steps = 0
        with ThreadPoolExecutor(8) as threads:
            while hints := [hint for hand in self.hands for hint in hand.admit()]:
                steps += len(hints)
                if len(hints) == 1:  # a thread of its own would need a connection of its own
                    self.executor.run(*hints[0])
                else:
                    list(threads.map(self._run, hints))
        return steps


@pytest.fixture
def worker(simulator: RunningSimulator, tenant: Tenant, server: redis.Redis) -> KeepingWorker:
    """A worker that nothing is kept for yet."""
    return KeepingWorker(simulator)


@pytest.fixture
def answered(worker: KeepingWorker, submit: Submit) -> Answered:
    """Submits a question, has it answered, and returns the run as it has ended."""

    def answer(question: str = "How long is a lease?", type_: str = "one_question", **more: Any) -> Workflow:
        options = {name: more.pop(name) for name in ("tenant", "cache_control") if name in more}
        workflow = submit(type_, {"question": question, **more}, **options)
        worker.work()
        workflow.refresh_from_db()
        return workflow

    return answer


@pytest.fixture
def patient_worker(
    simulator: RunningSimulator,
    tenant: Tenant,
    server: redis.Redis,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> KeepingWorker:
    """A worker of the batch queue and the standard one, with a lane that leaves calls to batches, sent at once."""
    send_batches_at_once(simulator, settings, monkeypatch)
    return KeepingWorker(simulator, ("batch", "standard"), batch_lane=DatabaseBatchLane())
