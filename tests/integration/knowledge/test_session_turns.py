"""What is said in a session is kept with the submission, and the answer with the end of its run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection

from agentplatform.agents.registry import registry
from agentplatform.execution.executor import ClaimedStep, FinishReply, Outcome, cache_policy_of
from agentplatform.execution.retry import Failure
from apps.knowledge.models import Session, Turn
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from apps.workflows.models import Workflow
from apps.workflows.services import IdempotencyConflict, workflow_cancel, workflow_start
from apps.workflows.submissions import InvalidSubmission, submission_make
from tests.integration.conftest import Hand

Submit = Callable[..., Workflow]
OUTPUTS: dict[str, Any] = {
    "classify": {"kind": "how_to"},
    "retrieve": {"passages": [], "knowledge_version": 1},
}


def ask(submit: Submit, question: str, session_id: str | None = "chat-1", **options: Any) -> Workflow:
    """A question in a session."""
    return submit("answer_question", {"question": question}, session_id=session_id, **options)


def run_to_its_end(hand: Hand, answer: Any, steps: int = 3) -> ClaimedStep:
    """Finishes the steps of one run; the last one with this answer."""
    step = hand.claim_next()
    for _ in range(steps - 1):
        hand.finish(step, OUTPUTS[step.node])
        step = hand.claim_next()
    hand.finish(step, {"answer": answer, "sources": []})
    return step


def finish(hand: Hand, step: ClaimedStep, output: Any, *, may_continue: bool = False) -> FinishReply:
    """Finishes a step of a run that may have gone on meanwhile."""
    reply = hand.finish(step, output, may_continue=may_continue)
    if reply.outcome == "conflict":
        assert reply.state is not None
        step = replace(step, state=reply.state, revision=reply.revision)
        reply = hand.finish(step, output, may_continue=may_continue)
    assert reply.outcome == "finished"
    return reply


def said(session: Session) -> list[tuple[int, str, str]]:
    """All turns of a session, in order."""
    return list(session.turns.order_by("ordinal").values_list("ordinal", "role", "text"))


def test_a_question_and_its_answer_are_turns_of_the_session(hand: Hand, submit: Submit) -> None:
    """The second submission is in the same session; the tenant's name for it begins no other."""
    first = ask(submit, "How do I rotate a key?")
    session = Session.objects.get()
    assert (session.external_id, first.session_id) == ("chat-1", session.pk)
    assert said(session) == [(1, "user", "How do I rotate a key?")]
    step = run_to_its_end(hand, "Choose 'Rotate'.")
    assert step.session_id == session.pk
    ask(submit, "And how do I undo it?")
    assert said(session) == [
        (1, "user", "How do I rotate a key?"),
        (2, "assistant", "Choose 'Rotate'."),
        (3, "user", "And how do I undo it?"),
    ]
    assert Turn.objects.filter(workflow_id=first.pk).count() == 2
    assert [turn.tokens for turn in session.turns.order_by("ordinal")] == [6, 4, 6]


def test_turns_stand_in_the_order_of_submissions(hand: Hand, submit: Submit) -> None:
    """However late the answer to the first one comes."""
    ask(submit, "The first one?")
    ask(submit, "The second one?")
    steps = [hand.claim_next() for _ in range(4)]
    by_run: dict[Any, list[ClaimedStep]] = {}
    for step in steps:
        by_run.setdefault(step.workflow_id, []).append(step)
    for run in sorted(by_run, reverse=True):
        for step in by_run[run]:
            finish(hand, step, OUTPUTS[step.node])
        last = hand.claim_next()
        hand.finish(
            last, {"answer": f"Answer of {'second' if run == max(by_run) else 'first'}", "sources": []}
        )
    assert [text for _, _, text in said(Session.objects.get())] == [
        "The first one?",
        "Answer of first",
        "The second one?",
        "Answer of second",
    ]


def test_submissions_at_the_same_moment_are_in_one_session_each_at_its_place(submit: Submit) -> None:
    """Also those that begin it, from whatever queue."""

    def say(number: int) -> None:
        try:
            ask(submit, f"Question {number}?", queue=("interactive", "standard")[number % 2])
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(say, range(16)))
    turns = said(Session.objects.get())
    assert [ordinal for ordinal, _, _ in turns] == list(range(1, 32, 2))
    assert {text for _, _, text in turns} == {f"Question {number}?" for number in range(16)}


def test_a_repeated_submission_says_nothing_again(submit: Submit, tenant: Tenant) -> None:
    """The same key, the same body; another session is another body."""

    def again(session_id: str) -> bool:
        submission = submission_make(
            tenant=tenant,
            type_="answer_question",
            workflow_input={"question": "Once?"},
            session_id=session_id,
        )
        return workflow_start(tenant=tenant, submission=submission, idempotency_key="k").is_new

    assert (again("chat-1"), again("chat-1")) == (True, False)
    assert Turn.objects.count() == 1
    with pytest.raises(IdempotencyConflict):
        again("chat-2")
    assert Session.objects.count() == 1


def test_a_run_that_fails_or_is_cancelled_leaves_no_answer(hand: Hand, submit: Submit) -> None:
    """What was said stands there alone."""
    ask(submit, "Does this fail?")
    step = hand.claim_next()
    hand.finish(step, outcome=Outcome(failure=Failure("bad", "Bad.", transient=False)))
    workflow_cancel(ask(submit, "Is this cancelled?").pk)
    assert [role for _, role, _ in said(Session.objects.get())] == ["user", "user"]


def test_each_tenant_has_sessions_of_its_own(submit: Submit) -> None:
    """Also under the same name."""
    ask(submit, "Mine?")
    ask(submit, "Theirs?", tenant=tenant_create(name="other", tier="standard"))
    assert sorted(session.turns.get().text for session in Session.objects.all()) == ["Mine?", "Theirs?"]


@pytest.mark.parametrize("session_id", ["", " a", "a b", "-a", "a" * 129, "ä", "a\n"])
def test_a_session_id_that_is_none_is_refused(submit: Submit, session_id: str) -> None:
    """And nothing is stored."""
    with pytest.raises(InvalidSubmission) as caught:
        ask(submit, "Is this stored?", session_id)
    assert caught.value.errors[0][0] == ("session_id",)
    assert (Workflow.objects.count(), Session.objects.count()) == (0, 0)


def test_a_definition_that_keeps_no_turns_refuses_a_session(submit: Submit) -> None:
    """It says which ones do."""
    with pytest.raises(InvalidSubmission) as caught:
        submit("summarize_document", {"text": "A text."}, session_id="chat-1")
    ((path, message),) = caught.value.errors
    assert path == ("session_id",)
    assert "answer_question" in message


def test_a_result_is_neither_kept_for_a_session_nor_given_to_one(hand: Hand, submit: Submit) -> None:
    """A run in a session is run; a run outside of one is not told what was said there."""
    ask(submit, "What is kept?")
    run_to_its_end(hand, "Said in a session.")
    plain = ask(submit, "What is kept?", session_id=None)
    assert plain.cache is None
    run_to_its_end(hand, "Said to all.")
    assert ask(submit, "What is kept?", session_id=None).cache is not None
    again = ask(submit, "What is kept?")
    assert (again.cache, again.cache_key, again.status) == (None, None, "running")


def test_answers_of_a_session_serve_that_session_alone(hand: Hand, submit: Submit) -> None:
    """The key of every call is over the session, for each step of the run."""
    ask(submit, "In one?")
    ask(submit, "In another?", "chat-2")
    ask(submit, "In none?", None)
    steps = [hand.claim_next() for _ in range(6)]
    agent = registry.find_agent("answer_question")
    assert agent is not None
    versions = {step.session_id: cache_policy_of(step, agent).version for step in steps}
    assert len(set(versions.values())) == 3
    assert versions[None] == str(steps[0].definition_id)
    following = finish(hand, steps[0], OUTPUTS[steps[0].node], may_continue=True)
    assert following.next_step is None
    following = finish(hand, steps[1], OUTPUTS[steps[1].node], may_continue=True)
    assert following.next_step is not None
    assert following.next_step.session_id == steps[1].session_id is not None


def test_an_answer_comes_too_late_for_a_session_that_is_gone(hand: Hand, submit: Submit) -> None:
    """The run ends as it would; nothing is kept."""
    ask(submit, "Is this kept?")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM knowledge_turn")
    run_to_its_end(hand, "No.")
    assert Turn.objects.count() == 0
    assert Workflow.objects.get().status == "succeeded"
