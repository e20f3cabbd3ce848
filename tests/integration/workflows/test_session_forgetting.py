"""Forgetting a session takes away what was said and what was made of it; what it has cost stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from agentplatform.execution.executor import Outcome
from agentplatform.execution.retry import Failure
from apps.gateway.models import Call
from apps.knowledge.models import Session, Turn
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create, tenant_limit
from apps.workflows.letters import OperatorAction
from apps.workflows.models import DeadLetter, Signal, Step, Workflow
from apps.workflows.operations import Actor
from apps.workflows.replays import workflow_replay
from apps.workflows.services import session_join
from apps.workflows.session_forgetting import session_forget, sessions_upkeep
from apps.workflows.submissions import InvalidSubmission
from tests.integration.conftest import Hand
from tests.integration.workflows.worker import OneThread, worker

__all__ = ["worker"]

Submit = Callable[..., Workflow]
SECRET = "My bicycle is red."
KEPT = 30


def say(submit: Submit, message: str = SECRET, session_id: str = "chat-1", **options: Any) -> Workflow:
    """A message in a session."""
    return submit("converse", {"message": message}, session_id=session_id, **options)


def run_to_its_end(hand: Hand) -> None:
    """The steps of one run."""
    hand.finish(hand.claim_next(), {"memory": {"summary": SECRET, "recent": [], "recalled": []}})
    hand.finish(hand.claim_next(), {"reply": f"You said: {SECRET}"})


def bought(workflow: Workflow) -> Call:
    """A call of the run, with the words of its answer, as the journal keeps it."""
    return Call.objects.create(
        id=workflow.pk,
        tenant=workflow.tenant,
        workflow_id=workflow.pk,
        step_id=workflow.steps.get(node="reply").pk,
        attempt=1,
        ordinal=0,
        request_hash="h",
        status=Call.Status.SETTLED,
        task_type="converse",
        agent="converse",
        tier="fast",
        provider="p",
        model="m",
        cost_usd_micros=7,
        response={"content": [{"type": "text", "text": SECRET}]},
    )


def everything() -> str:
    """All that is stored of sessions and runs, as text."""
    rows: list[Any] = []
    for model in (Session, Turn, Workflow, Step, Call, DeadLetter, OperatorAction, Signal):
        rows += list(model.objects.values())
    return str(rows)


def test_nothing_that_was_said_is_left(hand: Hand, submit: Submit) -> None:
    """Neither in the session nor in its runs, their steps and their calls; the rows and their cost stay."""
    workflow = say(submit)
    run_to_its_end(hand)
    call = bought(workflow)
    assert SECRET in everything()
    session = Session.objects.get()
    assert session_forget(session, actor=Actor()) is True
    assert SECRET not in everything()
    assert session_forget(session) is False
    call.refresh_from_db()
    workflow.refresh_from_db()
    assert (call.cost_usd_micros, workflow.status, workflow.input, workflow.result) == (
        7,
        "succeeded",
        {},
        None,
    )
    assert OperatorAction.objects.get().name == "session.forget"


def test_a_run_that_is_under_way_is_cancelled(hand: Hand, submit: Submit) -> None:
    """Its late answer is kept nowhere, and it is not gone on with after it gave up."""
    workflow = say(submit)
    step = hand.claim_next()
    failed = say(submit, "This one fails.")
    hand.finish(hand.claim_next(), outcome=Outcome(failure=Failure("bad", "Bad.", transient=False)))
    assert DeadLetter.objects.get().status == "open"
    session_forget(Session.objects.get())
    workflow.refresh_from_db()
    failed.refresh_from_db()
    assert (workflow.status, failed.status) == ("cancelled", "failed")
    assert hand.finish(step, {"memory": SECRET}).outcome == "stale"
    assert DeadLetter.objects.get().status == "discarded"
    assert SECRET not in everything()


def test_a_replay_is_in_the_session_and_is_forgotten_with_it(hand: Hand, submit: Submit) -> None:
    """It says nothing there; what it has taken over is emptied, too, and of an emptied run there is no other."""
    workflow = say(submit)
    run_to_its_end(hand)
    workflow.refresh_from_db()
    replay = Workflow.objects.get(pk=workflow_replay(workflow, from_step="reply").id)
    assert replay.session_id == workflow.session_id is not None
    step = hand.claim_next()
    assert step.session_id == workflow.session_id
    hand.finish(step, {"reply": "Said again."})
    assert [turn.text for turn in Turn.objects.order_by("ordinal")] == [SECRET, f"You said: {SECRET}"]
    session_forget(Session.objects.get())
    assert SECRET not in everything()
    replay.refresh_from_db()
    assert [item["code"] for item in replay.degradations] == ["session_forgotten"]
    for emptied in (replay, Workflow.objects.get(pk=workflow.pk)):
        with pytest.raises(InvalidSubmission):
            workflow_replay(emptied, from_step="reply")


def test_a_run_that_a_step_starts_is_in_the_session(worker: OneThread, submit: Submit) -> None:
    """So that what it was given is forgotten as well."""
    say(submit)
    workflow = submit("outer", {"output": {"count": 4}})
    session = Session.objects.get()
    session_join(workflow.pk, session.pk)
    worker.done(workflow)
    child = Workflow.objects.get(parent_id=workflow.pk)
    assert (child.session_id, child.input) == (session.pk, {"count": 4})
    Signal.objects.create(
        workflow=child, kind=Signal.Kind.SIGNAL, name="told", payload={"text": SECRET}, sender="key"
    )
    session_forget(session)
    child.refresh_from_db()
    assert (child.input, child.result) == ({}, None)
    assert SECRET not in everything()


def test_another_session_is_left_alone(hand: Hand, submit: Submit) -> None:
    """Of the same tenant, and of the same name of another one."""
    say(submit)
    kept = [
        say(submit, session_id="chat-2"),
        say(submit, tenant=tenant_create(name="other", tier="standard")),
    ]
    session_forget(Session.objects.get(tenant=kept[0].tenant, external_id="chat-1"))
    assert {turn.workflow_id for turn in Turn.objects.all()} == {workflow.pk for workflow in kept}
    assert [Workflow.objects.get(pk=one.pk).input for one in kept] == [{"message": SECRET}] * 2


def test_the_row_of_a_forgotten_session_goes_once_its_runs_have_ended_for_a_while(
    hand: Hand, submit: Submit
) -> None:
    """They are emptied once more then: a call that was in flight may have settled late."""
    workflow = say(submit)
    run_to_its_end(hand)
    session = Session.objects.get()
    session_forget(session)
    bought(workflow)
    assert sessions_upkeep() == {"sessions_forgotten": 0, "turns": 0, "sessions": 0}
    assert SECRET in everything()
    Session.objects.update(forgotten_at=Now() - timedelta(minutes=6))
    assert sessions_upkeep() == {"sessions_forgotten": 0, "turns": 0, "sessions": 1}
    assert SECRET not in everything()
    assert Workflow.objects.get().session_id is None


@pytest.mark.parametrize(("own_days", "kept_days"), [(None, KEPT), (3, 3)])
def test_a_session_that_is_not_used_is_forgotten_after_the_days_of_its_tenant(
    tenant: Tenant, hand: Hand, submit: Submit, own_days: int | None, kept_days: int
) -> None:
    """Its own, else its tier's; one that is used goes on, without its oldest turns."""
    tenant_limit(tenant, {"session_retention_days": own_days})
    say(submit)
    run_to_its_end(hand)
    say(submit, "Hello again.")
    long_ago = timezone.now() - timedelta(days=kept_days, hours=1)
    not_so_long = timezone.now() - timedelta(days=kept_days, hours=-1)
    Turn.objects.filter(ordinal__lte=2).update(created_at=long_ago)
    Session.objects.update(last_used_at=not_so_long)
    assert sessions_upkeep() == {"sessions_forgotten": 0, "turns": 2, "sessions": 0}
    assert [turn.text for turn in Turn.objects.all()] == ["Hello again."]
    Session.objects.update(last_used_at=long_ago)
    assert sessions_upkeep()["sessions_forgotten"] == 1
    assert (Turn.objects.count(), Session.objects.filter(forgotten_at=None).count()) == (0, 0)
    assert SECRET not in everything()
