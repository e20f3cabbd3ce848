"""The older part of a session is summarised by a run of its tenant's, in the background."""

from __future__ import annotations

from collections.abc import Callable

from django.db.models.functions import Now

from agentplatform.agents.agent import StepContext
from agentplatform.execution.deadlines import Deadline
from agentplatform.llm.messages import ModelRequest, ModelResponse, Usage
from agentplatform.llm.model import CallContext
from agentplatform.llm.tiers import Tier
from agentplatform.memory.assembling import is_summary_due
from apps.database import call_function
from apps.knowledge.models import Session
from apps.knowledge.session_selectors import exchanges_of
from apps.workflows.models import Workflow
from apps.workflows.selectors import workflows_of
from apps.workflows.session_forgetting import session_forget
from apps.workflows.session_summaries import SummariseSession, summaries_advance
from tests.integration.conftest import Hand

Submit = Callable[..., Workflow]
ROOM_TOKENS = 400
LONG = "That is a matter of some length, about which more could be said than there is room for. "


class Summing:
    """A model that answers with a summary, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []

    def complete(self, request: ModelRequest, context: CallContext) -> ModelResponse:
        self.requests.append(request)
        return ModelResponse(({"type": "text", "text": "Red, it is."},), "end_turn", Usage(), "m", "p")


def grown(submit: Submit, exchanges: int = 6) -> Session:
    """A session with more turns than there is room for, whose summary is due."""
    for number in range(exchanges):
        workflow = submit("converse", {"message": f"{number}. {LONG}"}, session_id="chat-1")
        call_function("knowledge_answer", [workflow.pk, LONG], ["uuid", "text"])
    Session.objects.update(summary_due_at=Now(), summary_due_tokens=ROOM_TOKENS)
    return Session.objects.get()


def step_of(run: Workflow, model: Summing, session_tokens: int = ROOM_TOKENS) -> StepContext:
    """The step of a run that summarises, as its agent sees it; `session_tokens` is what its own window has room for."""
    call = CallContext(Deadline.after(30))
    return StepContext(
        tenant_id=run.tenant_id,
        workflow_id=run.pk,
        step_id=run.steps.get().pk,
        attempt=1,
        tier=Tier.FAST,
        input=run.input,
        session_tokens=session_tokens,
        needs={},
        item=None,
        options={},
        deadline=call.deadline,
        model=model,
        call=call,
    )


def summarising_run() -> Workflow:
    return Workflow.objects.get(definition__type="summarise_session")


def test_a_run_is_started_for_a_session_that_is_due_once(hand: Hand, submit: Submit) -> None:
    """In its tenant's name, and hidden from it; one that is under way is enough."""
    session = grown(submit)
    assert summaries_advance() == 1
    assert summaries_advance() == 0
    run = summarising_run()
    assert (run.tenant_id, run.session_id) == (session.tenant_id, session.pk)
    assert run not in workflows_of(session.tenant)
    assert "That is" not in str(run.input)
    Session.objects.update(summary_due_at=Now())
    assert summaries_advance() == 1
    assert summarising_run() == run
    session.refresh_from_db()
    assert session.summary_due_at is None


def test_the_older_part_is_summarised_and_the_latest_turns_stay(hand: Hand, submit: Submit) -> None:
    """By the fast tier; the next summary is made of this one and of what was said since."""
    grown(submit)
    summaries_advance()
    model = Summing()
    step = step_of(summarising_run(), model)
    assert SummariseSession().run(step) == {"until": 10}
    session = Session.objects.get()
    assert (session.summary, session.summary_until) == ("Red, it is.", 10)
    (request,) = model.requests
    assert request.tier is Tier.FAST
    prompt = request.messages[-1]["content"]
    assert [f"User: {number}. " in prompt for number in range(6)] == [True] * 5 + [False]
    for number in range(6, 12):
        workflow = submit("converse", {"message": f"{number}. {LONG}"}, session_id="chat-1")
        call_function("knowledge_answer", [workflow.pk, LONG], ["uuid", "text"])
    step.input = {**step.input, "before": 99}
    SummariseSession().run(step)
    assert "<earlier_summary>Red, it is.</earlier_summary>" in model.requests[-1].messages[-1]["content"]
    assert Session.objects.get().summary_until > 10


def test_a_summary_goes_by_the_room_that_was_outgrown(hand: Hand, submit: Submit) -> None:
    """And not by that of the model which sums up: so much is left that no summary is due at once."""
    grown(submit)
    summaries_advance()
    model = Summing()
    assert SummariseSession().run(step_of(summarising_run(), model, 100 * ROOM_TOKENS)) == {"until": 10}
    since = exchanges_of(Session.objects.get().pk, after=10, before=99, newest_first=True, tokens=ROOM_TOKENS)
    assert not is_summary_due(sum(exchange.tokens for exchange in since), ROOM_TOKENS)


def test_a_smaller_model_sums_up_what_has_room_in_its_own_window(hand: Hand, submit: Submit) -> None:
    """As much as it takes at once; the next turn finds the rest due."""
    session = grown(submit)
    summaries_advance()
    model = Summing()
    assert SummariseSession().run(step_of(summarising_run(), model, 100)) == {"until": 4}
    (request,) = model.requests
    assert request.messages[-1]["content"].count("User: ") == 2
    left = exchanges_of(session.pk, after=4, before=99, newest_first=True, tokens=ROOM_TOKENS)
    assert is_summary_due(sum(exchange.tokens for exchange in left), ROOM_TOKENS)


def test_one_that_was_due_before_rooms_were_noted_goes_by_its_own(hand: Hand, submit: Submit) -> None:
    """As those do whose turns were told by an earlier version."""
    grown(submit)
    Session.objects.update(summary_due_tokens=None)
    summaries_advance()
    run = summarising_run()
    assert "context_tokens" not in run.input
    assert SummariseSession().run(step_of(run, Summing())) == {"until": 10}


def test_an_attempt_after_another_asks_the_same(hand: Hand, submit: Submit) -> None:
    """Whatever was said meanwhile, so that what was bought is replayed."""
    grown(submit)
    summaries_advance()
    model = Summing()
    step = step_of(summarising_run(), model)
    SummariseSession().run(step)
    Session.objects.update(summary="", summary_until=0)
    workflow = submit("converse", {"message": "Later."}, session_id="chat-1")
    call_function("knowledge_answer", [workflow.pk, LONG], ["uuid", "text"])
    SummariseSession().run(step)
    assert model.requests[0] == model.requests[1]


def test_a_summary_that_comes_too_late_is_dropped(hand: Hand, submit: Submit) -> None:
    """When there is a newer one meanwhile, or the session has been forgotten."""
    session = grown(submit)
    summaries_advance()
    run = summarising_run()

    class Late(Summing):
        def complete(self, request: ModelRequest, context: CallContext) -> ModelResponse:
            Session.objects.update(summary="Newer.", summary_until=4)
            return super().complete(request, context)

    assert SummariseSession().run(step_of(run, Late())) == {"until": None}
    assert Session.objects.get().summary == "Newer."
    session_forget(session)
    model = Summing()
    step = step_of(run, model)
    step.input = {"session_id": str(session.pk), "before": 13}
    assert SummariseSession().run(step) == {"until": None}
    assert model.requests == []
    run.refresh_from_db()
    assert (run.status, run.input) == ("cancelled", {})
