"""Runs that steps start, and runs made anew: in the real database, with everything that may come between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.tenants.models import Tenant
from apps.workflows.dispatching import end_overdue_workflows, wake_parents
from apps.workflows.letters import DeadLetter
from apps.workflows.models import Step, Workflow
from apps.workflows.replays import CannotReplay, UnknownStep, workflow_replay
from apps.workflows.services import workflow_cancel, workflow_pause, workflow_resume
from apps.workflows.step_runs import MAX_DEPTH
from apps.workflows.submissions import InvalidSubmission
from tests.integration.conftest import expire, recover
from tests.integration.workflows.letters import requeue
from tests.integration.workflows.worker import OneThread, statuses, worker

__all__ = ["worker"]

Submit = Callable[..., Workflow]


def child_of(workflow: Workflow) -> Workflow:
    return Workflow.objects.get(parent_id=workflow.pk)


def test_a_step_runs_a_workflow_and_hands_its_result_on(submit: Submit, worker: OneThread) -> None:
    """Its input is made of what the step needs; it has its parent's tenant, queue and deadline."""
    workflow = worker.done(submit("outer", {"output": {"count": 4}}))
    assert workflow.result == {"inner": {"sum": 12}}
    child = child_of(workflow)
    assert (child.tenant_id, child.queue_id, child.depth) == (workflow.tenant_id, workflow.queue_id, 1)
    assert child.input == {"count": 4}
    assert child.root_id == workflow.pk
    assert child.deadline_at <= workflow.deadline_at


def test_a_step_holds_no_slot_while_its_workflow_runs(submit: Submit, worker: OneThread) -> None:
    """It waits, and says for what."""
    workflow = submit("outer", {"output": {"count": 1}})
    worker.run_admitted()
    step = Step.objects.get(workflow=workflow, node="inner")
    assert (step.status, step.waiting_for) == ("waiting", "workflow")
    assert wake_parents() == 0
    assert worker.done(workflow).status == "succeeded"


def test_a_run_that_ends_before_its_step_waits_is_noticed(submit: Submit, worker: OneThread) -> None:
    """Its end found nobody waiting; the dispatcher does."""
    workflow = submit("outer", {"output": {"count": 1}})
    worker.run_admitted()
    step = Step.objects.filter(workflow=workflow, node="inner")
    step.update(status="blocked", waiting_for=None)
    worker.work()
    assert child_of(workflow).status == "succeeded"
    step.update(status="waiting", waiting_for="workflow")
    assert wake_parents() == 1
    assert worker.done(workflow).status == "succeeded"


def test_a_workflow_that_fails_fails_its_step_and_is_run_again_when_that_is_requeued(
    submit: Submit, worker: OneThread
) -> None:
    """The failure names the run that has it; a requeue starts another."""
    workflow = worker.done(submit("outer_failing"))
    child = child_of(workflow)
    assert (workflow.status, workflow.error["code"]) == ("failed", "sub_workflow_failed")
    assert str(child.pk) in workflow.error["message"]
    assert requeue(DeadLetter.objects.filter(workflow=workflow)).requeued == 1
    worker.done(workflow)
    assert Workflow.objects.filter(parent_id=workflow.pk).count() == 2


@pytest.mark.parametrize(("type_", "ends"), [("outer", "succeeded"), ("outer_failing", "failed")])
def test_a_worker_that_is_lost_with_the_result_makes_no_second_run(
    submit: Submit, worker: OneThread, type_: str, ends: str
) -> None:
    """It had come for it and told nobody: the next attempt finds the same, and nothing is paid twice."""
    workflow = submit(type_, {"output": {"count": 1}})
    worker.run_admitted()
    while child_of(workflow).finished_at is None:
        worker.run_admitted()
    lost = worker.hand.claim_next()
    assert lost.workflow_id == workflow.pk
    expire(lost)
    assert recover() == 1
    assert worker.done(workflow).status == ends
    assert child_of(workflow).status == ends


def test_a_requeue_of_both_goes_on_with_the_run_that_there_is(submit: Submit, worker: OneThread) -> None:
    """It runs again from where it failed, and its step waits for it."""
    workflow = worker.done(submit("outer_failing"))
    assert requeue().requeued == 2
    worker.done(workflow)
    assert Workflow.objects.filter(parent_id=workflow.pk).count() == 1
    attempts = Step.objects.get(workflow=child_of(workflow), node="broken").attempt
    assert attempts == 2


def test_runs_are_nested_only_so_deep(submit: Submit, worker: OneThread) -> None:
    """A workflow that runs itself ends with a failure that says so."""
    workflow = worker.done(submit("endless_nesting"))
    assert workflow.status == "failed"
    assert Workflow.objects.filter(root_id=workflow.pk).count() == MAX_DEPTH
    deepest = Workflow.objects.get(root_id=workflow.pk, depth=MAX_DEPTH)
    assert deepest.error["code"] == "sub_workflow_too_deep"


def test_what_a_run_has_started_is_cancelled_with_it(submit: Submit, worker: OneThread) -> None:
    """The dispatcher sees to it."""
    workflow = submit("outer", {"output": {"count": 1}})
    worker.run_admitted()
    workflow_cancel(workflow.pk)
    assert wake_parents() == 1
    assert child_of(workflow).status == "cancelled"
    assert wake_parents() == 0


def test_what_a_run_has_started_pauses_and_goes_on_with_it(submit: Submit, worker: OneThread) -> None:
    """Nothing of it starts in between."""
    workflow = submit("outer", {"output": {"count": 1}})
    worker.run_admitted()
    workflow_pause(workflow.pk)
    worker.work()
    assert child_of(workflow).status == "paused"
    workflow_resume(workflow.pk)
    assert worker.done(workflow).status == "succeeded"


def test_a_child_ends_at_its_parents_deadline(submit: Submit, worker: OneThread) -> None:
    """With it, and its step does not wait for ever."""
    workflow = submit("outer", {"output": {"count": 1}})
    worker.run_admitted()
    Workflow.objects.update(deadline_at="2020-01-01T00:00:00Z")
    assert end_overdue_workflows() == 2
    workflow.refresh_from_db()
    assert workflow.error["code"] == "deadline_exceeded"


class TestReplay:
    """A run made anew from one of its steps on."""

    def test_the_outputs_before_are_kept(self, submit: Submit, worker: OneThread, tenant: Tenant) -> None:
        """Only what comes after runs again, in a run of its own."""
        before = worker.done(submit("outer", {"output": {"count": 3}}))
        again = Workflow.objects.get(pk=workflow_replay(before, from_step="last").id)
        assert statuses(again) == {"first": "succeeded", "inner": "succeeded", "last": "ready"}
        worker.done(again)
        assert (again.status, again.result, again.source_id) == ("succeeded", before.result, before.pk)
        assert not Workflow.objects.filter(parent_id=again.pk).exists()
        attempts = {step.node: step.attempt for step in again.steps.all()}
        assert attempts == {"first": 0, "inner": 0, "last": 1}

    def test_a_fork_runs_on_another_input(self, submit: Submit, worker: OneThread) -> None:
        """From the step on; what is kept is as it was."""
        before = worker.done(submit("branches", {"output": {"way": "left"}}))
        fork = workflow_replay(before, from_step="choose", workflow_input={"output": {"way": "right"}}).id
        forked = worker.done(Workflow.objects.get(pk=fork))
        assert forked.result["right"]["key"] == "right"
        assert forked.result["after_left"] is None

    def test_a_fan_out_is_kept_with_all_its_elements(self, submit: Submit, worker: OneThread) -> None:
        """Or made anew with them, over a list that is kept."""
        before = worker.done(submit("fan_out", {"count": 4}))
        from_add = worker.done(Workflow.objects.get(pk=workflow_replay(before, from_step="add").id))
        from_double = worker.done(Workflow.objects.get(pk=workflow_replay(before, from_step="double").id))
        assert from_add.result == from_double.result == before.result == {"sum": 12}
        assert [step.attempt for step in from_add.steps.filter(node="double")] == [0] * 4
        assert [step.attempt for step in from_double.steps.filter(node="double")] == [1] * 4

    def test_added_steps_are_kept_with_what_has_added_them(self, submit: Submit, worker: OneThread) -> None:
        """And are added anew where that runs again."""
        before = worker.done(submit("adding", {"add": 2}))
        kept = worker.done(Workflow.objects.get(pk=workflow_replay(before, from_step="sum").id))
        anew = worker.done(
            Workflow.objects.get(pk=workflow_replay(before, from_step="plan", workflow_input={"add": 1}).id)
        )
        assert kept.result == before.result
        assert sorted(anew.result) == ["added_0", "plan"]

    def test_the_whole_run_is_made_anew_without_a_step(self, submit: Submit, worker: OneThread) -> None:
        """Also while it still runs."""
        before = submit("fan_out", {"count": 2})
        assert worker.done(Workflow.objects.get(pk=workflow_replay(before).id)).result == {"sum": 2}

    def test_a_failed_run_goes_on_from_where_it_failed(self, submit: Submit, worker: OneThread) -> None:
        """What has not ended well is not kept."""
        before = worker.done(submit("fails_for_good"))
        assert before.status == "failed"
        again = Workflow.objects.get(pk=workflow_replay(before, from_step="broken").id)
        assert statuses(again) == {"first": "succeeded", "broken": "ready", "last": "blocked"}
        with pytest.raises(CannotReplay, match="needs the outputs of \\['broken'\\]"):
            workflow_replay(before, from_step="last")

    @pytest.mark.parametrize(
        ("told", "error"),
        [({"from_step": "nothing"}, UnknownStep), ({"workflow_input": {}}, InvalidSubmission)],
    )
    def test_what_cannot_be_is_refused_and_changes_nothing(
        self, submit: Submit, worker: OneThread, told: dict[str, Any], error: type[Exception]
    ) -> None:
        """A step that there is not; an input that the definition does not take."""
        before = worker.done(submit("bounded", {"items": [1]}))
        with pytest.raises(error):
            workflow_replay(before, **told)
        assert Workflow.objects.count() == 1
