"""What a run is told of its session: the latest turns, what is recalled of older ones, and their summary."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from agentplatform.agents.agent import StepContext
from agentplatform.agents.conversing import Converse
from agentplatform.execution.deadlines import Deadline
from agentplatform.identifiers import uuid7
from agentplatform.llm.messages import ModelRequest, ModelResponse, Usage
from agentplatform.llm.model import CallContext
from agentplatform.memory.assembling import tokens_of
from apps.database import call_function
from apps.embedder import embedder as embedder_client
from apps.knowledge.agents import RetrievePassages
from apps.knowledge.models import Session, Turn
from apps.knowledge.recalling import RECALL_SKIPPED, RecallSession, recall
from apps.knowledge.services import document_create
from apps.knowledge.session_services import session_empty
from apps.knowledge.turn_embedding import embed_pending_turns
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create

ROOM_TOKENS = 400
"""Room for about two long exchanges."""
FILLER = "That is a matter of some length, about which much more could be said than there is room for here. "


class Listening:
    """A model that keeps what it was asked, and answers "Noted."."""

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []

    def complete(self, request: ModelRequest, context: CallContext) -> ModelResponse:
        self.requests.append(request)
        return ModelResponse(({"type": "text", "text": "Noted."},), "end_turn", Usage(), "m", "p")


class Conversation:
    """A session of a tenant, filled by hand."""

    def __init__(self, tenant: Tenant, name: str = "chat") -> None:
        self.tenant = tenant
        self.name = name
        self.model = Listening()

    def say(self, said: str, answered: str | None = None) -> uuid.UUID:
        """What is said in a run of its own, and what is answered."""
        workflow_id = uuid7()
        arguments = [self.tenant.pk, self.name, uuid7(), workflow_id, said]
        call_function("knowledge_say", arguments, ["uuid", "text", "uuid", "uuid", "text"])
        if answered is not None:
            call_function("knowledge_answer", [workflow_id, answered], ["uuid", "text"])
        return workflow_id

    @property
    def session(self) -> Session:
        return Session.objects.get(tenant=self.tenant, external_id=self.name, forgotten_at=None)

    def step(self, said: str, needs: Any = None, **fields: Any) -> StepContext:
        """The step of a run in which this is said now."""
        workflow_id = self.say(said)
        call = CallContext(Deadline.after(30))
        return StepContext(
            tenant_id=self.tenant.pk,
            workflow_id=workflow_id,
            step_id=uuid7(),
            attempt=1,
            tier=None,
            input={"message": said, "question": said},
            needs=needs or {},
            item=None,
            options={},
            deadline=call.deadline,
            model=self.model,
            call=call,
            **{"session_id": self.session.pk, "session_tokens": ROOM_TOKENS, **fields},
        )


@pytest.fixture
def conversation(tenant: Tenant) -> Conversation:
    """An empty session."""
    return Conversation(tenant)


def test_the_latest_turns_are_told_in_their_order(conversation: Conversation) -> None:
    """What is not answered yet is not among them, nor what was said later."""
    conversation.say("My bicycle is red.", "A fine colour.")
    conversation.say("Nobody answers this.")
    conversation.say("It has 21 gears.", "That is a lot.")
    step = conversation.step("What colour is it?")
    conversation.say("Said later.", "Answered sooner.")
    memory = recall(step, "What colour is it?")
    assert [exchange["said"] for exchange in memory.recent] == ["My bicycle is red.", "It has 21 gears."]
    assert (memory.summary, memory.recalled, step.degradations) == ("", (), [])


def test_an_older_turn_is_recalled_by_its_meaning(embedder: None, conversation: Conversation) -> None:
    """Though no word of the question stands in it, and much was said since."""
    conversation.say("My bicycle has the colour of tomatoes.", "A fine colour.")
    conversation.say("I was born in Lisbon.", "A beautiful city.")
    for number in range(6):
        conversation.say(f"{number}. {FILLER}", FILLER)
    assert embed_pending_turns() == 16
    step = conversation.step("How did I paint my two-wheeled vehicle?")
    memory = recall(step, step.input["message"])
    assert memory.recalled[0]["said"] == "My bicycle has the colour of tomatoes."
    assert [exchange["said"][0] for exchange in memory.recent] == ["3", "4", "5"]
    assert step.degradations == []


def test_without_the_embedder_nothing_is_recalled_and_it_is_said(
    conversation: Conversation, tmp_path: Path, settings: Settings
) -> None:
    """The latest turns are told all the same."""
    for number in range(6):
        conversation.say(f"{number}. {FILLER}", FILLER)
    settings.EMBEDDER_SOCKET = str(tmp_path / "nobody")
    embedder_client.cache_clear()
    step = conversation.step("What was said?")
    memory = recall(step, "What was said?")
    assert embed_pending_turns() == 0
    embedder_client.cache_clear()
    assert memory.recent
    assert memory.recalled == ()
    assert step.degradations == [RECALL_SKIPPED]
    assert not Turn.objects.exclude(embedding_model="", embedding_lease_until=None).exists()


def test_a_short_conversation_does_not_ask_the_embedder(
    conversation: Conversation, tmp_path: Path, settings: Settings
) -> None:
    """Where everything is told there is nothing to recall."""
    conversation.say("Hello.", "Hello.")
    settings.EMBEDDER_SOCKET = str(tmp_path / "nobody")
    embedder_client.cache_clear()
    step = conversation.step("Again?")
    assert len(recall(step, "Again?").recent) == 1
    assert step.degradations == []
    embedder_client.cache_clear()


def test_what_has_grown_large_is_due_to_be_summarised(embedder: None, conversation: Conversation) -> None:
    """Once, not at every turn; a short conversation never is."""
    conversation.say("Hello.", "Hello.")
    recall(conversation.step("Hello?"), "Hello?")
    assert conversation.session.summary_due_at is None
    for _ in range(5):
        conversation.say(FILLER, FILLER)
    recall(conversation.step("What was said?"), "What was said?")
    due = conversation.session.summary_due_at
    assert due is not None
    recall(conversation.step("And now?"), "And now?")
    assert conversation.session.summary_due_at == due


def test_what_is_told_and_when_a_summary_is_due_go_by_the_room(
    embedder: None, conversation: Conversation
) -> None:
    """Of the same turns a run with ten times the room is told more, and needs no summary; one with less has its own."""
    for number in range(6):
        conversation.say(f"{number}. {FILLER}", FILLER)
    wide = conversation.step("What was said?", session_tokens=10 * ROOM_TOKENS)
    assert [exchange["said"][0] for exchange in recall(wide, "?").recent] == list("012345")
    assert conversation.session.summary_due_at is None
    narrow = conversation.step("What was said?", session_tokens=ROOM_TOKENS // 2)
    assert [exchange["said"][0] for exchange in recall(narrow, "?").recent] == ["5"]
    assert conversation.session.summary_due_tokens == ROOM_TOKENS // 2


def test_many_short_turns_are_due_to_be_summarised_as_well(conversation: Conversation) -> None:
    """However many it takes to outgrow the room."""
    with connection.cursor() as cursor:
        conversation.say("ok", "ok")
        cursor.execute(
            """INSERT INTO knowledge_turn (tenant_id, session_id, ordinal, role, text, tokens, workflow_id)
            SELECT tenant_id, id, 2 + n, CASE WHEN n % 2 = 1 THEN 'user' ELSE 'assistant' END, 'ok', 1,
                gen_random_uuid() FROM knowledge_session, generate_series(1, 3000) n"""
        )
        cursor.execute("UPDATE knowledge_session SET last_ordinal = 3002")
    recent = recall(conversation.step("?", session_tokens=10_000), "?").recent
    assert len(recent) == 1_501
    assert conversation.session.summary_due_at is None
    assert len(recall(conversation.step("?", session_tokens=4_000), "?").recent) == 1_000
    assert conversation.session.summary_due_tokens == 4_000


def test_a_summary_that_was_made_for_much_more_room_is_cut(conversation: Conversation) -> None:
    """It is told as far as twice its room goes, and that it has been cut."""
    conversation.say("My bicycle is red.", "A fine colour.")
    Session.objects.update(summary="A red bicycle. " * 1_000, summary_until=2)
    summary = recall(conversation.step("?"), "?").summary
    assert summary.startswith("A red bicycle. A red")
    assert summary.endswith("[…]")
    assert tokens_of(summary) <= 400


def test_turns_that_a_summary_stands_for_are_told_by_it(embedder: None, conversation: Conversation) -> None:
    """They are not told twice; what is recalled of them stands beside it."""
    conversation.say("My bicycle is red.", "A fine colour.")
    conversation.say("I like tea.", "So do many.")
    Session.objects.update(summary="The user has a red bicycle.", summary_until=2)
    memory = recall(conversation.step("What do I like?"), "What do I like?")
    assert memory.summary == "The user has a red bicycle."
    assert [exchange["said"] for exchange in memory.recent] == ["I like tea."]


def test_sessions_do_not_see_each_other(embedder: None, conversation: Conversation) -> None:
    """Neither another one of the tenant's, nor one of the same name of another tenant."""
    others = [
        Conversation(conversation.tenant, "another"),
        Conversation(tenant_create(name="other", tier="standard")),
    ]
    for other in others:
        other.say("My bicycle is red.", "A fine colour.")
        Session.objects.filter(pk=other.session.pk).update(summary="Red.", summary_until=2)
    embed_pending_turns()
    step = conversation.step("What colour is my bicycle?")
    assert recall(step, step.input["message"]).is_empty


def test_a_session_that_is_forgotten_is_not_remembered(conversation: Conversation) -> None:
    """A run that was in it goes on as if nothing had been said; the name begins a new one."""
    conversation.say("My bicycle is red.", "A fine colour.")
    step = conversation.step("What colour is it?")
    forgotten = conversation.session
    assert session_empty(forgotten.pk) is True
    assert session_empty(forgotten.pk) is False
    assert recall(step, "What colour is it?").is_empty
    conversation.say("Hello.", "Hello.")
    assert conversation.session.pk != forgotten.pk
    assert [turn.text for turn in Turn.objects.order_by("id")] == ["Hello.", "Hello."]


def test_a_reply_is_asked_for_with_the_turns_before_it(conversation: Conversation) -> None:
    """As messages, before the one that is replied to."""
    conversation.say("My bicycle is red.", "A fine colour.")
    step = conversation.step("What colour is it?")
    step.needs = {"recall": RecallSession().run(step)}
    assert Converse().run(step) == {"reply": "Noted."}
    (request,) = conversation.model.requests
    assert [message["content"] for message in request.messages] == [
        "My bicycle is red.",
        "A fine colour.",
        "What colour is it?",
    ]


def test_a_question_that_follows_another_is_searched_for_together_with_it(
    embedder: None, conversation: Conversation
) -> None:
    """So that it finds what it is about; outside of a session nothing changes."""
    for title, text in (("Keys", "To rotate an API key, choose 'Rotate'."), ("Tea", "Tea is drunk hot.")):
        document_create(tenant=conversation.tenant, title=title, content=f"# {title}\n\n{text}")
    conversation.say("How do I rotate an API key?", "Choose 'Rotate' [1].")
    step = conversation.step("And who may do it?")
    found = RetrievePassages().run(step)
    assert [passage["title"] for passage in found["passages"]] == ["Keys"]
    assert found["memory"]["recent"] == [
        {"said": "How do I rotate an API key?", "answered": "Choose 'Rotate' [1]."}
    ]
    plain = RetrievePassages().run(conversation.step("And who may do it?", session_id=None))
    assert "memory" not in plain
    assert plain["passages"] == []


def test_an_answer_that_came_anew_is_embedded_anew(embedder: None, conversation: Conversation) -> None:
    """A run that ends again replaces its answer, and the vector of it."""
    workflow_id = conversation.say("Where was I born?", "In Rome.")
    embed_pending_turns()
    call_function("knowledge_answer", [workflow_id, "In Lisbon."], ["uuid", "text"])
    turn = Turn.objects.get(workflow_id=workflow_id, role="assistant")
    assert (turn.text, turn.embedding_model, turn.vector) == ("In Lisbon.", "", None)
    assert embed_pending_turns() == 1
    assert not Turn.objects.filter(embedding_model="").exists()
