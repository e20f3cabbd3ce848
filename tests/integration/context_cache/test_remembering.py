"""What an agent remembers, the steps of its tenant's other workflows find in whatever process they run."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from agentplatform.agents.agent import StepContext
from apps.tenants.models import Tenant
from apps.workflows.models import Workflow
from apps.workflows.worker import executor
from tests.integration.conftest import Hand
from tests.integration.context_cache.conftest import Maker, cache_of_a_process
from tests.integration.gateway.test_running_steps import Nobody
from tests.workload.agents import Echo


def test_what_a_step_made_is_there_for_all_of_its_tenant(
    hand: Hand, tenant: Tenant, submit: Callable[..., Workflow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's own executor gives its steps the cache that all processes share."""
    make = Maker()

    def look_up(self: Echo, step: StepContext) -> Any:
        return step.remember("weather", {"city": "Bern"}, make)

    monkeypatch.setattr(Echo, "run", look_up)
    monkeypatch.setattr(executor(), "_reports", Nobody())  # there is no task of Celery's here
    workflows = [submit("one_echo"), submit("one_echo")]
    for hint in hand.admit():
        executor().run(*hint)
    for workflow in workflows:
        workflow.refresh_from_db()
        assert (workflow.status, workflow.result) == ("succeeded", "value 1")
    other = cache_of_a_process()
    assert other.get_or_make("step.weather", tenant.pk, {"city": "Bern"}, make) == "value 1"
    assert other.get_or_make("step.weather", uuid.uuid4(), {"city": "Bern"}, make) == "value 2"
