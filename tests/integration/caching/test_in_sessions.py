"""Kept answers and conversations: what holds something of a session serves that session alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.gateway.models import CacheEntry, Call
from apps.knowledge.models import Session
from apps.knowledge.services import document_create
from apps.tenants.models import Tenant
from apps.workflows.models import Workflow
from apps.workflows.session_forgetting import session_forget
from tests.integration.caching.conftest import KeepingWorker

Submit = Callable[..., Workflow]
QUESTION = "What is the code of the cellar door?"
FOLLOWING = "Which door has the code 4711?"


@pytest.fixture
def ask(tenant: Tenant, worker: KeepingWorker, submit: Submit) -> Callable[..., list[bool]]:
    """Asks in a session, or outside of one; returns of each call in turn whether its answer was kept."""
    document_create(
        tenant=tenant,
        title="Doors",
        content="The code of the cellar door is 4711.",
        content_type="text/plain",
    )

    def ask_one(question: str, session_id: str | None) -> list[bool]:
        workflow = submit("answer_question", {"question": question}, session_id=session_id)
        worker.work()
        workflow.refresh_from_db()
        assert workflow.status == "succeeded", workflow.error
        calls: Any = Call.objects.filter(workflow_id=workflow.pk).order_by("agent")
        assert [call.agent for call in calls] == ["answer_question", "classify_question"]
        return [call.cache is not None for call in calls]

    return ask_one


def test_the_first_question_of_a_session_is_like_one_outside_of_sessions(
    ask: Callable[..., list[bool]],
) -> None:
    """There is nothing of a conversation in it: both are answered from what either has bought."""
    assert ask(QUESTION, None) == [False, False]
    assert ask(QUESTION, "chat-1") == [True, True]
    assert ask(FOLLOWING, "chat-2") == [False, False]
    # The whole result of a run in a session is not kept, but its answers are.
    assert ask(FOLLOWING, "chat-3") == [True, True]


def test_an_answer_in_the_light_of_a_conversation_serves_no_other_one(ask: Callable[..., list[bool]]) -> None:
    """Not even one in which the same was said before; what kind of question it is depends on it alone."""
    for session_id in ("chat-1", "chat-2"):
        ask(QUESTION, session_id)
    assert ask(FOLLOWING, "chat-1") == [False, False]
    assert ask(FOLLOWING, "chat-2") == [False, True]
    assert ask(FOLLOWING, None) == [False, True]


def test_what_a_session_has_left_is_purged_when_it_is_forgotten(ask: Callable[..., list[bool]]) -> None:
    """Also where it was shared with others, and what they were served of it."""
    ask(QUESTION, "chat-1")
    ask(FOLLOWING, "chat-1")
    assert CacheEntry.objects.count() > 0
    session_forget(Session.objects.get())
    assert CacheEntry.objects.count() == 0
    assert ask(QUESTION, None) == [False, False]
