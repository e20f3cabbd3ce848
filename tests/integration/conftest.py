"""What the integration tests share: a tenant, and a way to submit and run by hand."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection

from agentplatform.execution.attempts import ClaimedStep, FinishReply, Outcome
from agentplatform.execution.executor import identity_of
from agentplatform.execution.outcomes import decide_outcome
from agentplatform.llm.journal import StepJournal
from apps.circuits import PREFIX as CIRCUITS
from apps.database import call_function
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from apps.workflows.dispatching import recover_lost_steps
from apps.workflows.heartbeat import heartbeat_write
from apps.workflows.models import Step, Workflow
from apps.workflows.services import workflow_start
from apps.workflows.store import DatabaseCallStore, DatabaseStepStore
from apps.workflows.submissions import submission_make
from tests.embedder import running_embedder
from tests.integration.emptying import quick_emptying


@pytest.fixture(scope="session", autouse=True)
def _quick_emptying(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with ExitStack() as session:
        with django_db_blocker.unblock():
            session.enter_context(quick_emptying())
        yield


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A standard tenant."""
    return tenant_create(name="acme", tier="standard")


@pytest.fixture(scope="module")
def embedder() -> Iterator[None]:
    """The embedder, where the settings say it is."""
    with running_embedder(Path(settings.EMBEDDER_SOCKET)):
        yield


@pytest.fixture
def closed() -> Iterator[None]:
    """All circuits as a new installation has them, before and after."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        keys = f"{CIRCUITS}*"
        client.delete(*client.scan_iter(keys), "none")
        yield
        client.delete(*client.scan_iter(keys), "none")


@pytest.fixture
def submit(tenant: Tenant) -> Callable[..., Workflow]:
    """Submits a workflow of a type for the tenant (or for another)."""

    def submit_one(type_: str, workflow_input: dict[str, Any] | None = None, **options: Any) -> Workflow:
        owner = options.pop("tenant", tenant)
        submission = submission_make(
            tenant=owner, type_=type_, workflow_input=workflow_input or {}, **options
        )
        started = workflow_start(tenant=owner, submission=submission)
        return Workflow.objects.get(pk=started.id)

    return submit_one


class Hand:
    """A worker driven by hand, one statement at a time."""

    def __init__(self, name: str = "hand", queue: str = "standard", slots: int = 100) -> None:
        self.name = name
        self.queue = queue
        self.store = DatabaseStepStore(name)
        heartbeat_write(name, kind="worker", queues=[queue], slots=slots)

    def admit(self, limit: int = 100) -> list[tuple[uuid.UUID, int]]:
        """Admits what may be admitted; returns (step id, attempt)."""
        return [
            (row[0], row[1]) for row in call_function("workflows_admit", [self.queue, limit], ["text", "int"])
        ]

    def claim_next(self) -> ClaimedStep:
        """Admits and claims one step."""
        (hint,) = self.admit(1)
        step = self.store.claim(*hint)
        assert step is not None
        return step

    def finish(
        self,
        step: ClaimedStep,
        output: Any = None,
        outcome: Outcome | None = None,
        *,
        may_continue: bool = False,
    ) -> FinishReply:
        """Finishes a step with an output, or with an outcome."""
        outcome, decision = decide_outcome(step, step.state, outcome or Outcome(output))
        return self.store.finish(step, outcome, decision, journal_of(step), may_continue=may_continue)


def journal_of(step: ClaimedStep) -> StepJournal:
    """The journal of a claimed step."""
    return StepJournal(identity_of(step), DatabaseCallStore(), step.journal)


@pytest.fixture
def hand(tenant: Tenant) -> Hand:
    """A worker driven by hand on the standard queue."""
    return Hand()


def expire(step: ClaimedStep) -> None:
    """Makes the lease of a step look as if it had not been renewed."""
    Step.objects.filter(pk=step.step_id).update(lease_expires_at="2020-01-01T00:00:00Z")


def recover() -> int:
    """Recovers lost steps, once the server is old enough to: nothing is taken away just after a restart."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM now() - pg_postmaster_start_time())::float")
        (age_seconds,) = cursor.fetchone()
    time.sleep(max(0.0, 15.5 - age_seconds))
    return recover_lost_steps()
