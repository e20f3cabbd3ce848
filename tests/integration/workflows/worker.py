"""A worker and a dispatcher in one thread, for tests of what happens in which order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from agentplatform.agents.agent import StepRuns
from agentplatform.agents.registry import registry
from agentplatform.execution.attempts import ClaimedStep, Outcome
from agentplatform.execution.executor import ContinuationLimits, Executor
from agentplatform.execution.running import RunningSteps
from apps.workflows import dispatching
from apps.workflows.models import Step, StepAttempt, Workflow
from apps.workflows.step_runs import DatabaseStepRuns
from apps.workflows.store import DatabaseCallStore, DatabaseStepStore
from tests.integration.conftest import Hand
from tests.unit.llm.conftest import gateway_to


class Silent:
    """Watches nothing."""

    def started(self, step: ClaimedStep) -> None: ...

    def ended(self, step: ClaimedStep, outcome: Outcome, seconds: float) -> None: ...

    def text(self, step: ClaimedStep, delta: str) -> None: ...

    def restart_text(self, step: ClaimedStep) -> None: ...


class OneThread:
    """Runs what there is to run, until nothing is left that need not wait."""

    def __init__(self, *, continues: bool = True, runs: StepRuns | None = None) -> None:
        self.hand = Hand("one thread")
        self.most_active = 0
        self.executor = Executor(
            store=DatabaseStepStore(self.hand.name),
            calls=DatabaseCallStore(),
            gateway=gateway_to({}),
            find_agent=registry.find_agent,
            running=RunningSteps(),
            reports=Silent(),
            limits=ContinuationLimits(max_steps=50 if continues else 1),
            runs=runs or DatabaseStepRuns(),
        )

    def work(self) -> None:
        """Runs steps until none is ready."""
        while dispatching.wake_due() + dispatching.wake_parents() + self.run_admitted():
            pass

    def run_admitted(self) -> int:
        """Runs what has room now, once; returns how many steps."""
        hints = self.hand.admit()
        self.most_active = max(self.most_active, len(hints))
        for hint in hints:
            self.executor.run(*hint)
        return len(hints)

    def done(self, workflow: Workflow) -> Workflow:
        """Works, and returns the run as it stands then."""
        self.work()
        workflow.refresh_from_db()
        return workflow


@pytest.fixture
def worker(tenant: Any) -> OneThread:
    """Who runs the steps."""
    return OneThread()


def later(seconds: float) -> None:
    """Lets so much time pass for all that waits."""
    Step.objects.filter(status="waiting").update(run_at=F("run_at") - timedelta(seconds=seconds))
    StepAttempt.objects.update(finished_at=F("finished_at") - timedelta(seconds=seconds))


def statuses(workflow: Workflow) -> dict[str, str]:
    """By key, of all steps."""
    return {step.key: step.status for step in workflow.steps.order_by("position", "index")}
