"""How queues stand, for operators; and why steps wait, for their tenant."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models.functions import Now

from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue, tenant_limit
from apps.workflows.heartbeat import heartbeat_write
from apps.workflows.models import Step
from tests.integration.api.conftest import WORKFLOWS, Api, assert_problem
from tests.integration.conftest import Hand

QUEUES = "/api/v1/queues/"


@pytest.fixture
def operator(db: None) -> Api:
    """The API with an operator's key."""
    return Api(api_key_issue(name="operator").plaintext)


def test_only_operators_see_how_queues_stand(operator: Api, api: Api, anonymous: Api) -> None:
    """A tenant's key is told so."""
    assert operator.get(QUEUES).status_code == 200
    assert_problem(api.get(QUEUES), 403, "operator-key-needed")
    assert_problem(anonymous.get(QUEUES), 401)


def test_each_queue_shows_its_slots_and_its_backlog(operator: Api, api: Api) -> None:
    """By pool of workers, the most urgent queue first."""
    heartbeat_write("one", kind="worker", queues=["standard"], slots=5)
    for _ in range(3):
        api.submit()
    Step.objects.update(ready_at=Now() - timedelta(seconds=12))
    results = operator.get(QUEUES).json()["results"]
    assert [queue["name"] for queue in results] == ["interactive", "standard", "batch"]
    standard = results[1]
    assert (standard["dedicated_slots"], standard["lendable_slots"], standard["borrowable_slots"]) == (
        5,
        0,
        15,
    )
    enterprise, shared = standard["pools"]
    assert (enterprise["pool"], enterprise["slots"], enterprise["ready"]) == ("enterprise", 0, 0)
    assert (shared["slots"], shared["free_slots"], shared["ready"], shared["active"]) == (5, 5, 3, 0)
    assert 11 <= shared["oldest_wait_seconds"] < 30
    assert shared["mean_step_seconds"] is None
    assert (shared["backlog_seconds"], shared["drain_seconds"]) == (3.0, 0.6)


def test_the_same_is_shown_at_a_terminal(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """manage.py queues."""
    api.submit()
    call_command("queues")
    printed = capsys.readouterr().out
    for word in ("interactive", "standard", "batch", "enterprise", "shared", "oldest"):
        assert word in printed


def steps_of(api: Api, workflow_id: str) -> list[dict[str, Any]]:
    """The steps of a workflow as the API shows them."""
    return list(api.get(f"{WORKFLOWS}{workflow_id}/").json()["steps"])


def test_a_ready_step_says_why_it_waits_and_since_when(api: Api, tenant: Tenant) -> None:
    """In a code and in words."""
    workflow_id = api.submit()
    (step,) = steps_of(api, workflow_id)
    assert step["waiting_for"] == "no_worker"
    assert step["waiting_since"] is not None
    assert step["waiting_reason"] == "No live worker serves this queue; start one."
    tenant_limit(tenant, {"max_concurrent_steps": 1})
    hand = Hand()
    other_id = api.submit()
    claimed = hand.claim_next()
    (running,) = steps_of(api, workflow_id)
    assert (running["waiting_for"], running["waiting_since"], running["waiting_reason"]) == (None, None, None)
    (waiting,) = steps_of(api, other_id)
    assert waiting["waiting_for"] == "tenant_concurrency"
    hand.finish(claimed, {})
    assert [step["waiting_for"] for step in steps_of(api, workflow_id)] == [None]
    hand.admit()
    (dispatched,) = steps_of(api, other_id)
    assert (dispatched["status"], dispatched["waiting_for"]) == ("dispatched", "worker")


def test_a_step_that_is_tried_again_says_since_and_until_when_it_waits(api: Api) -> None:
    """Since its last attempt ended, until its delay is over."""
    from agentplatform.execution.attempts import Outcome
    from agentplatform.execution.retry import Failure

    workflow_id = api.submit()
    hand = Hand()
    hand.finish(hand.claim_next(), outcome=Outcome(failure=Failure("made_to_fail", "No.", transient=True)))
    (step,) = steps_of(api, workflow_id)
    assert (step["status"], step["waiting_for"]) == ("waiting", "timer")
    assert step["waiting_since"] <= step["waiting_until"]
    assert step["waiting_reason"].startswith("Its last attempt failed")
