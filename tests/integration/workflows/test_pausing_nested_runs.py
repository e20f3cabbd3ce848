"""Runs that steps start while the run above them is paused, goes on or ends at the same moment."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F

from agentplatform.agents.agent import StepContext
from agentplatform.workflows.decisions import PauseRequested
from apps.tenants.models import Tenant
from apps.workflows.dispatching import pause_missed, wake_parents
from apps.workflows.models import Event, Step, Workflow
from apps.workflows.services import (
    NotPaused,
    workflow_cancel,
    workflow_decide,
    workflow_pause,
    workflow_resume,
)
from apps.workflows.step_runs import DatabaseStepRuns
from tests.integration.workflows.test_nested_costs import until_somebody_waits
from tests.integration.workflows.worker import OneThread

Submit = Callable[..., Workflow]


class Meanwhile(DatabaseStepRuns):
    """Lets something happen just before a step starts a run; once."""

    def __init__(self, happens: Callable[[StepContext], Any]) -> None:
        self.happens: Callable[[StepContext], Any] | None = happens

    def start(self, step: StepContext, type_: str, workflow_input: Mapping[str, Any]) -> uuid.UUID:
        happens, self.happens = self.happens, None
        if happens is not None:
            happens(step)
        return super().start(step, type_, workflow_input)


def status_of(run: Workflow) -> str:
    """As it is by now."""
    return Workflow.objects.get(pk=run.pk).status


class Beside(threading.Thread):
    """Something that is done over another connection."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self._work = work
        self.start()

    def run(self) -> None:
        try:
            self._work()
        finally:
            connection.close()


@pytest.fixture
def nested(submit: Submit, tenant: Tenant) -> tuple[Workflow, Workflow]:
    """A run, and the one that its step has started."""
    outer = submit("outer", {"output": {"count": 2}})
    OneThread().run_admitted()
    return outer, Workflow.objects.get(parent_id=outer.pk)


def test_a_run_that_is_started_under_a_paused_one_is_paused(submit: Submit, tenant: Tenant) -> None:
    """Its steps are not admitted; it goes on when the one above does."""
    worker = OneThread(runs=Meanwhile(lambda step: workflow_pause(step.workflow_id)))
    outer = submit("outer", {"output": {"count": 2}})
    worker.work()
    (inner,) = Workflow.objects.filter(parent_id=outer.pk)
    assert (status_of(outer), inner.status) == ("paused", "paused")
    first = inner.steps.get(node="list")
    assert (first.status, first.waiting_for) == ("waiting", "resume")
    workflow_resume(outer.pk)
    assert worker.done(outer).result == {"inner": {"sum": 2}}
    told = Event.objects.filter(workflow=inner, kind="workflow.status").order_by("id")
    assert [event.data["status"] for event in told] == ["paused", "running", "succeeded"]


def started_during(act: Callable[[uuid.UUID], Any], submit: Submit) -> Workflow:
    """A run whose step starts another while this is done to it, and has to wait for that."""
    reached, go_on = threading.Event(), threading.Event()
    worker = OneThread(runs=Meanwhile(lambda _: (reached.set(), go_on.wait(10))))
    outer = submit("outer", {"output": {"count": 2}})
    beside = Beside(worker.run_admitted)
    assert reached.wait(10)
    with transaction.atomic():
        act(outer.pk)
        go_on.set()
        until_somebody_waits()
    beside.join()
    return outer


def test_a_start_waits_for_a_pause_that_is_under_way(submit: Submit, tenant: Tenant) -> None:
    """It never slips in between the pause and the look for what the run has started."""
    outer = started_during(workflow_pause, submit)
    assert Workflow.objects.get(parent_id=outer.pk).status == "paused"


def test_a_run_two_levels_below_that_is_started_during_the_pause_is_paused(
    submit: Submit, tenant: Tenant
) -> None:
    """The pause has come to the run in between when one of its steps starts another."""
    worker = OneThread()
    outer = submit("endless_nesting")
    worker.run_admitted()
    between = Workflow.objects.get(parent_id=outer.pk)
    with transaction.atomic():
        Workflow.objects.select_for_update(no_key=True).get(pk=between.pk)
        beside = Beside(lambda: workflow_pause(outer.pk))
        until_somebody_waits()
        worker.run_admitted()
        deepest = Workflow.objects.get(parent_id=between.pk)
        assert (status_of(outer), deepest.status) == ("paused", "running")
    beside.join()
    assert [status_of(run) for run in (outer, between, deepest)] == ["paused", "paused", "paused"]
    workflow_resume(outer.pk)
    assert [status_of(run) for run in (outer, between, deepest)] == ["running", "running", "running"]


def test_of_a_pause_and_a_resume_at_once_the_later_one_holds_for_all(
    nested: tuple[Workflow, Workflow],
) -> None:
    """Whichever comes first to the runs within."""
    outer, inner = nested
    with transaction.atomic():
        Workflow.objects.select_for_update(no_key=True).get(pk=inner.pk)
        beside = Beside(lambda: workflow_pause(outer.pk))
        until_somebody_waits()
        workflow_resume(outer.pk)
    beside.join()
    assert (status_of(outer), status_of(inner)) == ("running", "running")
    assert OneThread().done(outer).status == "succeeded"


def test_a_step_of_a_run_that_was_cancelled_starts_none(submit: Submit, tenant: Tenant) -> None:
    """It may still be at it when the cancel comes."""
    worker = OneThread(runs=Meanwhile(lambda step: workflow_cancel(step.workflow_id)))
    outer = submit("outer", {"output": {"count": 2}})
    assert worker.done(outer).status == "cancelled"
    assert Workflow.objects.count() == 1


def test_a_start_waits_for_a_cancel_that_is_under_way(submit: Submit, tenant: Tenant) -> None:
    """And does not come then."""
    outer = started_during(workflow_cancel, submit)
    assert (status_of(outer), Workflow.objects.count()) == ("cancelled", 1)


@pytest.mark.parametrize(
    "taken_away", [{"attempt": F("attempt") + 1}, {"status": "dead", "lease_expires_at": None}]
)
def test_an_attempt_that_was_taken_away_starts_none(
    submit: Submit, tenant: Tenant, taken_away: dict[str, Any]
) -> None:
    """Nobody would wait for it: another attempt is at it, or the step has given up while the run goes on."""

    def take_away(step: StepContext) -> None:
        Step.objects.filter(pk=step.step_id).update(**taken_away)

    worker = OneThread(runs=Meanwhile(take_away))
    outer = submit("outer", {"output": {"count": 2}})
    worker.run_admitted()
    assert (status_of(outer), Workflow.objects.count()) == ("running", 1)


@pytest.fixture
def three_levels(submit: Submit, tenant: Tenant) -> list[Workflow]:
    """A run, the one that its step has started, and the one that a step of that one has."""
    outer, worker = submit("endless_nesting"), OneThread(continues=False)
    worker.run_admitted()
    worker.run_admitted()
    return [outer, *Workflow.objects.filter(root_id=outer.pk).order_by("depth")]


def test_runs_that_a_pause_has_not_come_to_are_paused_by_the_dispatcher(
    three_levels: list[Workflow],
) -> None:
    """As when the process that paused the one above was killed; and so they go on with it."""
    workflow_decide(three_levels[0].pk, PauseRequested())
    assert [status_of(run) for run in three_levels] == ["paused", "running", "running"]
    assert pause_missed() == 2
    assert [status_of(run) for run in three_levels] == ["paused"] * 3
    assert pause_missed() == 0
    workflow_resume(three_levels[0].pk)
    assert pause_missed() == 0
    assert [status_of(run) for run in three_levels] == ["running"] * 3


def test_a_cancel_comes_to_all_levels_at_once(three_levels: list[Workflow]) -> None:
    """One look of the dispatcher is enough."""
    workflow_cancel(three_levels[0].pk)
    assert wake_parents() == 2
    assert [status_of(run) for run in three_levels] == ["cancelled"] * 3


def test_a_run_under_a_paused_one_is_not_resumed_by_itself(nested: tuple[Workflow, Workflow]) -> None:
    """It would be paused again; by itself it is where the one above goes on."""
    outer, inner = nested
    workflow_pause(outer.pk)
    with pytest.raises(NotPaused, match=str(outer.pk)):
        workflow_resume(inner.pk)
    workflow_resume(outer.pk)
    workflow_pause(inner.pk)
    assert workflow_resume(inner.pk)
    assert (status_of(outer), status_of(inner)) == ("running", "running")
