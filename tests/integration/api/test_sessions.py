"""Sessions over REST: listed, read, exported and forgotten by their tenant alone."""

from __future__ import annotations

from typing import Any

import pytest

from apps.database import call_function
from apps.knowledge.models import Session, Turn
from apps.tenants.models import Tenant
from apps.workflows.models import Workflow
from tests.integration.api.conftest import WORKFLOWS, Api, assert_problem

SESSIONS = "/api/v1/sessions/"


def converse(api: Api, message: str, session_id: str = "chat-1", answer: str | None = None) -> str:
    """A message in a session, and the answer to it."""
    workflow_id = api.submit("converse", input={"message": message}, session_id=session_id)
    if answer is not None:
        call_function("knowledge_answer", [workflow_id, answer], ["uuid", "text"])
    return workflow_id


def texts(response: Any) -> list[str]:
    return [turn["text"] for turn in response.json()["results"]]


def test_a_submission_names_its_session(api: Api) -> None:
    """It stands on the run, and runs are found by it."""
    workflow_id = converse(api, "Hello.")
    plain = api.submit()
    assert api.get(f"{WORKFLOWS}{workflow_id}/").json()["session_id"] == "chat-1"
    assert api.get(f"{WORKFLOWS}{plain}/").json()["session_id"] is None
    listed = api.get(f"{WORKFLOWS}?session_id=chat-1").json()["results"]
    assert [(one["id"], one["session_id"]) for one in listed] == [(workflow_id, "chat-1")]
    assert api.get(f"{WORKFLOWS}?session_id=nobody").json()["results"] == []


@pytest.mark.parametrize("session_id", ["", "a b", "ä", "x" * 129, 7, None, ["a"]])
def test_a_session_id_that_is_none_is_refused(api: Api, session_id: Any) -> None:
    """With its place, and nothing is stored."""
    body = {"type": "converse", "input": {"message": "Hello."}, "session_id": session_id}
    response = api.post(WORKFLOWS, body)
    assert response.status_code in (400, 422)
    problem = assert_problem(response, response.status_code)
    assert [error["pointer"] for error in problem["errors"]] == ["/session_id"]
    assert (Workflow.objects.count(), Session.objects.count()) == (0, 0)


def test_what_needs_a_session_says_so_and_what_takes_none_too(api: Api) -> None:
    """Both before anything is stored; a dry run begins no session."""
    missing = api.post(WORKFLOWS, {"type": "converse", "input": {"message": "Hello."}})
    assert assert_problem(missing, 422)["errors"][0]["pointer"] == "/session_id"
    unfit = api.post(WORKFLOWS, {"type": "one_noop", "input": {}, "session_id": "chat-1"})
    assert "converse" in assert_problem(unfit, 422)["errors"][0]["detail"]
    dry = {"type": "converse", "input": {"message": "Hello."}, "session_id": "chat-1", "dry_run": True}
    assert api.post(WORKFLOWS, dry).status_code == 200
    assert Session.objects.count() == 0
    kinds = {one["type"]: one["session"] for one in api.get("/api/v1/definitions/").json()["results"]}
    assert [kinds[name] for name in ("converse", "answer_question", "one_noop")] == [
        "required",
        "optional",
        "none",
    ]


def test_sessions_are_listed_with_their_size(api: Api) -> None:
    """Page by page, those begun last first, without what was said."""
    for number in range(3):
        converse(api, "Hello there.", f"chat-{number}", "Hello.")
    page = api.get(f"{SESSIONS}?limit=2").json()
    assert [one["session_id"] for one in page["results"]] == ["chat-2", "chat-1"]
    (first,) = api.get(page["next"]).json()["results"]
    assert (first["session_id"], first["turns"], first["summarised_turns"], first["tokens"]) == (
        "chat-0",
        2,
        0,
        5,
    )
    assert first["expires_at"] > first["last_used_at"]
    assert "summary" not in first


def test_turns_are_read_page_by_page_in_their_order(api: Api) -> None:
    """`after` goes on from any turn."""
    workflow_id = converse(api, "One.", answer="Two.")
    converse(api, "Three.", answer="Four.")
    page = api.get(f"{SESSIONS}chat-1/turns/?limit=3")
    assert texts(page) == ["One.", "Two.", "Three."]
    assert page.json()["results"][1] | {"created_at": ""} == {
        "ordinal": 2,
        "role": "assistant",
        "text": "Two.",
        "workflow_id": workflow_id,
        "created_at": "",
    }
    following = api.get(page.json()["next"])
    assert (texts(following), following.json()["next"]) == (["Four."], None)
    for after in ("-1", "x", "99999999999", "9999999999"):
        assert_problem(api.get(f"{SESSIONS}chat-1/turns/?after={after}"), 400)


@pytest.mark.django_db(transaction=True)
def test_what_is_forgotten_is_gone_and_forgetting_it_again_changes_nothing(api: Api) -> None:
    """The run stays without its words; the name is free for a new session."""
    workflow_id = converse(api, "My bicycle is red.", answer="Noted.")
    assert api.delete(f"{SESSIONS}chat-1/").status_code == 204
    assert api.delete(f"{SESSIONS}chat-1/").status_code == 204
    assert_problem(api.get(f"{SESSIONS}chat-1/"), 404)
    assert api.get(SESSIONS).json()["results"] == []
    run = api.get(f"{WORKFLOWS}{workflow_id}/").json()
    assert (run["status"], run["result"]) == ("cancelled", None)
    converse(api, "Hello again.")
    assert texts(api.get(f"{SESSIONS}chat-1/turns/")) == ["Hello again."]
    assert Turn.objects.count() == 1


def test_no_tenant_sees_or_forgets_anothers(api: Api, other_api: Api, tenant: Tenant) -> None:
    """However it is asked for; the same name is another session."""
    converse(api, "My bicycle is red.", answer="Noted.")
    for path in ("", "turns/", "export/"):
        assert_problem(other_api.get(f"{SESSIONS}chat-1/{path}"), 404)
    assert other_api.get(SESSIONS).json()["results"] == []
    assert other_api.get(f"{WORKFLOWS}?session_id=chat-1").json()["results"] == []
    assert other_api.delete(f"{SESSIONS}chat-1/").status_code == 204
    converse(other_api, "Mine.")
    assert texts(api.get(f"{SESSIONS}chat-1/turns/")) == ["My bicycle is red.", "Noted."]
    assert texts(other_api.get(f"{SESSIONS}chat-1/turns/")) == ["Mine."]


@pytest.mark.parametrize("name", ["no-such", "%00", "%2e%2e", "a%20b", "x" * 500])
def test_a_session_that_is_not_there_is_not_found(api: Api, name: str) -> None:
    """And a name that none can have is none."""
    assert_problem(api.get(f"{SESSIONS}{name}/"), 404)
    assert api.delete(f"{SESSIONS}{name}/").status_code in (204, 404)
