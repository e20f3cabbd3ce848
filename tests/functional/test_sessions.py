"""Conversations: what was said earlier is known later, in its own session alone, until it is forgotten."""

from __future__ import annotations

from typing import Any

from tests.product import Product, broken_invariants, eventually

SESSIONS = "/api/v1/sessions/"
FILLER = (
    "The harbour was quiet that morning, and the ferries lay at their moorings while the fog moved over the water. "
    "Nobody was in a hurry, for the first boat would leave long after the market had closed its gates. "
)


def converse(product: Product, session_id: str, message: str) -> dict[str, Any]:
    """One turn of a conversation."""
    workflow_id = product.submit(
        "converse", {"message": message}, session_id=session_id, priority="interactive"
    )
    workflow = product.finished(workflow_id)
    assert workflow["status"] == "succeeded", workflow
    return workflow


def reply(product: Product, session_id: str, message: str) -> str:
    return str(converse(product, session_id, message)["result"]["reply"])


def test_what_was_said_is_known_later_in_its_session_alone(product: Product) -> None:
    """A fact of the first turn is asked for in the third; another session does not know it, nor does a new one."""
    reply(product, "trip-1", "My bicycle Rosinante is painted in emerald green.")
    reply(product, "trip-1", "I shall ride along the coast.")
    asked = "Which colour is my bicycle Rosinante painted in?"
    assert "emerald" in reply(product, "trip-1", asked)
    assert "emerald" not in reply(product, "trip-2", asked)
    turns = product.http.get(f"{SESSIONS}trip-1/turns/").json()["results"]
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 3
    assert product.http.delete(f"{SESSIONS}trip-1/").status_code == 204
    assert "emerald" not in reply(product, "trip-1", asked)
    kept = "SELECT count(*) FROM {} t WHERE t::text LIKE '%%emerald%%'"
    tables = ("knowledge_turn", "knowledge_session", "workflows_workflow", "workflows_step", "gateway_call")
    assert [product.query(kept.format(table)) for table in tables] == [[(0,)]] * len(tables)
    assert broken_invariants(product) == {}


def test_a_question_that_follows_another_is_answered_in_its_light(product: Product) -> None:
    """From the passages that the question before it was about."""
    product.embedded(
        product.document(
            "Lighthouse", "# Lamp\n\nThe lamp of the lighthouse was lit by whale oil until 1911."
        )
    )
    answers = []
    for question in ("What was the lamp of the lighthouse lit by?", "And until when was that so?"):
        workflow_id = product.submit("answer_question", {"question": question}, session_id="keeper")
        answers.append(product.finished(workflow_id)["result"])
    assert "whale oil" in answers[0]["answer"]
    assert "Lighthouse" in {source["title"] for source in answers[1]["sources"]}


def test_a_conversation_that_grows_is_summarised_and_goes_on(product: Product) -> None:
    """In the background, at its tenant's cost; what was said first is still known."""
    with product.as_new_tenant("talks a lot"):
        reply(product, "long", "My bicycle Rosinante is painted in emerald green.")
        for number in range(5):
            reply(product, "long", f"{number}. {FILLER}")
        eventually(
            lambda: product.http.get(f"{SESSIONS}long/").json()["summarised_turns"] > 2, 20, "no summary"
        )
        session = product.http.get(f"{SESSIONS}long/").json()
        assert session["summary"]
        assert "emerald" in reply(product, "long", "Which colour is my bicycle Rosinante painted in?")
        listed = product.http.get("/api/v1/workflows/").json()["results"]
        assert {workflow["type"] for workflow in listed} == {"converse"}
        tenant = listed[0]["id"]
    paid = product.query(
        "SELECT sum(e.cost_usd_micros) FROM budgets_ledgerentry e JOIN workflows_workflow w ON w.tenant_id = e.tenant_id "
        "WHERE w.id = %s AND e.task_type = 'summarise_session'",
        tenant,
    )
    assert paid[0][0] > 0
    assert broken_invariants(product) == {}
