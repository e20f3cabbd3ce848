"""Sessions in the admin: seen by all, read and forgotten by those who may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentplatform.identifiers import uuid7
from apps.database import call_function
from apps.knowledge.models import Session, Turn
from apps.tenants.models import Tenant, User
from apps.tools.models import ToolCall
from apps.workflows.letters import OperatorAction
from apps.workflows.models import Feedback, Step, Workflow
from tests.integration.admin.conftest import (
    HOSTILE,
    HOSTILE_ESCAPED,
    Person,
    change_url,
    list_url,
    logged,
    operation_url,
)
from tests.integration.calls import call_make

SAID = f"My bicycle is red {HOSTILE}"


@pytest.fixture
def session(submit: Callable[..., Workflow]) -> Session:
    """A session with a question, its answer and a summary."""
    workflow = submit("converse", {"message": SAID}, session_id="customer-7")
    call_function("knowledge_answer", [workflow.pk, f"Noted {HOSTILE}"], ["uuid", "text"])
    Session.objects.update(summary=f"It is red {HOSTILE}", summary_until=2)
    return Session.objects.get()


def said_by(run: Workflow, tenant: Tenant) -> list[Any]:
    """A run with words in all that it has made: each of it with a page."""
    words = {"text": "A bicycle"}
    Workflow.objects.filter(pk=run.pk).update(result=words)
    step = Step.objects.filter(workflow=run).latest("position")
    Step.objects.filter(pk=step.pk).update(output=words)
    made = {"workflow_id": run.pk, "step_id": step.pk}
    call = call_make(tenant, response=words, **made)
    tool_call = ToolCall.objects.create(
        id=uuid7(),
        tenant=tenant,
        attempt=1,
        ordinal=0,
        task_type="t",
        agent="a",
        tool="calculator",
        input_hash="0" * 64,
        is_idempotent=True,
        status="succeeded",
        result={"content": "A bicycle", "notes": []},
        price_usd_micros=0,
        **made,
    )
    feedback = Feedback.objects.create(workflow=run, tenant=tenant, rating="up", comment="A bicycle")
    return [run, step, call, tool_call, feedback]


def test_a_list_shows_no_word_of_what_was_said(operator: Person, session: Session) -> None:
    """Not even to those who may read it."""
    page = operator.page(list_url(Session))
    assert "customer-7" in page
    assert "bicycle" not in page
    assert "It is red" not in page


def test_what_was_said_is_shown_to_those_who_may_read_it(
    operator: Person, reader: Person, session: Session
) -> None:
    """Escaped; others see that there is something."""
    page = operator.page(change_url(session))
    assert f"My bicycle is red {HOSTILE_ESCAPED}" in page
    assert f"It is red {HOSTILE_ESCAPED}" in page
    assert HOSTILE not in page
    page = reader.page(change_url(session))
    assert "customer-7" in page
    assert "bicycle" not in page
    assert "It is red" not in page
    assert "shown to those who may read sessions" in page


def test_what_a_run_in_a_session_was_told_and_answered_is_read_by_the_same(
    operator: Person, reader: Person, session: Session, submit: Callable[..., Workflow], tenant: Tenant
) -> None:
    """On the pages of the run, of its steps, of its calls of models and tools, and of its feedback."""
    run, outside = Workflow.objects.get(), submit("one_noop")
    pages = [said_by(run, tenant), said_by(outside, tenant)]
    for said, in_session in zip(pages, (True, False), strict=True):
        for shown in said:
            assert "bicycle" in operator.page(change_url(shown)), shown
            assert ("bicycle" not in reader.page(change_url(shown))) is in_session, shown
    assert "bicycle" in reader.page(list_url(Feedback))
    assert reader.page(list_url(Feedback)).count("bicycle") == 1


def test_a_run_leads_to_its_session(reader: Person, session: Session) -> None:
    """And the session to its runs, for those who may read it."""
    run = Workflow.objects.get()
    assert change_url(session) in reader.page(change_url(run))


def test_a_session_is_forgotten_after_a_question_and_only_by_those_who_may(
    operator: Person, reader: Person, session: Session
) -> None:
    """It is written down who did it, without the name of what is forgotten."""
    forget = operation_url(session, "forget")
    assert reader.get(forget).status_code == 403
    assert operator.get(forget).status_code == 200
    assert Turn.objects.count() == 2
    assert operator.confirm(forget).status_code == 302
    assert Turn.objects.count() == 0
    assert "customer-7" not in operator.page(list_url(Session))
    assert operator.get(change_url(session)).status_code in (302, 404)
    assert logged(session) == ["Forgot the session and what was said in it"]
    assert OperatorAction.objects.get().user == User.objects.get(username="operator")


def test_several_sessions_are_forgotten_at_once(
    operator: Person, session: Session, submit: Callable[..., Workflow]
) -> None:
    """Those that are chosen, and no other."""
    submit("converse", {"message": "Stays."}, session_id="stays")
    submit("converse", {"message": "Goes."}, session_id="goes")
    chosen = Session.objects.filter(external_id__in=["customer-7", "goes"])
    fields = {"action": "forget_selected", "_selected_action": [str(one.pk) for one in chosen]}
    asked = operator.post(list_url(Session), **fields)
    assert asked.status_code == 200
    assert Turn.objects.count() == 4
    operator.post(list_url(Session), **fields, confirmed="1")
    assert [turn.text for turn in Turn.objects.all()] == ["Stays."]
