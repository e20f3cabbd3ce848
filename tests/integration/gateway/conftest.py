"""What the tests of batches share: a worker that leaves calls to them, and time that is driven by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from agentplatform.agents.registry import registry
from agentplatform.execution.executor import ContinuationLimits, Executor
from agentplatform.execution.running import RunningSteps
from agentplatform.simulator.settings import SimulatorSettings
from apps.budgets.models import LedgerEntry
from apps.gateway import selectors
from apps.gateway.models import BatchRequest, Provider, ProviderBatch
from apps.workflows.batching import DatabaseBatchLane, batches_advance
from apps.workflows.models import Workflow
from apps.workflows.store import DatabaseCallStore, DatabaseStepStore
from tests.integration.conftest import Hand
from tests.integration.gateway.test_running_steps import Nobody
from tests.unit.conftest import RunningSimulator, serve
from tests.unit.llm.conftest import gateway_to, provider_at

Submit = Callable[..., Workflow]


@pytest.fixture(scope="module")
def _simulator() -> Iterator[RunningSimulator]:
    yield from serve(SimulatorSettings(latency_scale=0))


@pytest.fixture
def simulator(
    _simulator: RunningSimulator, settings: Any, monkeypatch: pytest.MonkeyPatch, transactional_db: None
) -> RunningSimulator:
    """A simulator whose batches end at once, and a platform that sends them at once."""
    _simulator.reset()
    send_batches_at_once(_simulator, settings, monkeypatch)
    return _simulator


def send_batches_at_once(simulator: RunningSimulator, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the platform send batches at once, to this simulator, where they end at once."""
    simulator.set_provider("anthropic", batches={"seconds": 0})
    monkeypatch.setenv("BATCH_TEST_KEY", "test-key")
    Provider.objects.update(base_url=simulator.url, secret="env:BATCH_TEST_KEY")
    selectors._provider_settings.cache_clear()
    selectors._catalogue.cache_clear()
    settings.BATCH_WAIT_SECONDS = 0.0
    settings.BATCH_POLL_SECONDS = 0.0
    settings.BATCH_LEASE_SECONDS = 30.0


class PatientWorker:
    """Runs what is admitted in the batch queue, with a lane that leaves calls to batches."""

    def __init__(self, simulator: RunningSimulator) -> None:
        self.hand = Hand("patient", queue="batch")
        self.executor = Executor(
            store=DatabaseStepStore(self.hand.name),
            calls=DatabaseCallStore(),
            gateway=gateway_to({"anthropic": provider_at(simulator.url)}, batch_lane=DatabaseBatchLane()),
            find_agent=registry.find_agent,
            running=RunningSteps(),
            reports=Nobody(),
            limits=ContinuationLimits(),
        )

    def work(self) -> int:
        """Runs what is admitted now; returns how many steps that were."""
        hints = self.hand.admit()
        for hint in hints:
            self.executor.run(*hint)
        return len(hints)


@pytest.fixture
def worker(simulator: RunningSimulator) -> PatientWorker:
    """A worker of the batch queue."""
    return PatientWorker(simulator)


@pytest.fixture
def leave(submit: Submit, worker: PatientWorker) -> Callable[..., list[Workflow]]:
    """Submits workflows whose steps have left their calls to a batch, and wait."""

    def leave_some(count: int = 1, **options: Any) -> list[Workflow]:
        left = [submit("patient_ask", queue="batch", **options) for _ in range(count)]
        assert worker.work() == count
        return left

    return leave_some


def advance(rounds: int = 4) -> None:
    """Looks after batches until what is due is done."""
    for _ in range(rounds):
        batches_advance()


def due() -> None:
    """Lets the batches be due now, as time would."""
    ProviderBatch.objects.update(due_at=Now() - timedelta(seconds=1))


def statuses() -> list[str]:
    """How the requests of batches stand."""
    return sorted(BatchRequest.objects.values_list("status", flat=True))


def batch_counts(simulator: RunningSimulator) -> dict[str, Any]:
    """What the simulator says of its batches."""
    return dict(simulator.provider("anthropic")["batches"])


def assert_money_adds_up() -> None:
    """Each workflow costs what its ledger entries say, and each call has one at most."""
    for workflow in Workflow.objects.all():
        entries = LedgerEntry.objects.filter(workflow_id=workflow.pk)
        assert workflow.cost_usd_micros == sum(entry.cost_usd_micros for entry in entries)
    assert LedgerEntry.objects.values("call_id").distinct().count() == LedgerEntry.objects.count()


def until_settled() -> None:
    """Looks after batches until all have come to their end."""
    for _ in range(100):
        batches_advance()
        if not ProviderBatch.objects.exclude(status__in=["settled", "failed", "cancelled"]).exists():
            return
        time.sleep(0.05)
    raise AssertionError(list(ProviderBatch.objects.values("status", "error_code")))
