"""Feedback on results: one verdict a workflow, which the next one replaces."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue
from apps.workflows.models import Feedback, Workflow
from apps.workflows.services import workflow_cancel
from tests.integration.api.conftest import WORKFLOWS, Api, assert_problem


def feedback_url(workflow_id: object) -> str:
    return f"{WORKFLOWS}{workflow_id}/feedback/"


@pytest.fixture
def ended(api: Api) -> str:
    """A run that has ended."""
    workflow_id = api.submit()
    workflow_cancel(uuid.UUID(workflow_id))
    return workflow_id


def test_feedback_is_stored_and_shown_with_its_workflow(api: Api, ended: str) -> None:
    """201 with what is stored; GET has it too, and had none before."""
    assert api.get(f"{WORKFLOWS}{ended}/").json()["feedback"] is None
    response = api.post(feedback_url(ended), {"rating": "down", "comment": "  It cites the wrong page. "})
    assert response.status_code == 201
    given = response.json()
    assert (given["rating"], given["comment"]) == ("down", "It cites the wrong page.")
    assert given["created_at"] == given["updated_at"]
    assert api.get(f"{WORKFLOWS}{ended}/").json()["feedback"] == given
    stored = Feedback.objects.get()
    workflow = Workflow.objects.get(pk=ended)
    assert (stored.workflow, stored.tenant) == (workflow, workflow.tenant)
    assert stored.api_key is not None
    assert stored.api_key.name == "first"


def test_later_feedback_replaces_what_was_said_before(api: Api, ended: str, tenant: Tenant) -> None:
    """200, whichever key of the tenant sends it; it is known when it was first given, and when last."""
    first = api.post(feedback_url(ended), {"rating": "down", "comment": "Wrong."}).json()
    Feedback.objects.update(created_at="2020-01-01T00:00:00Z", updated_at="2020-01-01T00:00:00Z")
    second_api = Api(api_key_issue(name="second", tenant=tenant).plaintext)
    response = second_api.post(feedback_url(ended), {"rating": "up"})
    assert response.status_code == 200
    second = response.json()
    assert (second["rating"], second["comment"]) == ("up", "")
    assert second["created_at"] == "2020-01-01T00:00:00Z"
    assert second["updated_at"] >= first["updated_at"]
    stored = Feedback.objects.get()
    assert stored.rating == "up"
    assert stored.api_key is not None
    assert stored.api_key.name == "second"


def test_a_workflow_that_has_not_ended_takes_no_feedback(api: Api) -> None:
    """409, and when to try again."""
    problem = assert_problem(api.post(feedback_url(api.submit()), {"rating": "up"}), 409, "not-finished")
    assert "running" in problem["detail"]
    assert not Feedback.objects.exists()


def test_another_tenants_workflow_takes_no_feedback(api: Api, other_api: Api, ended: str) -> None:
    """404, as one that is not there; nor does another tenant see any."""
    theirs = other_api.post(feedback_url(ended), {"rating": "up"})
    nobodys = other_api.post(feedback_url(uuid.uuid4()), {"rating": "up"})
    assert_problem(theirs, 404, "not-found")
    assert theirs.content == nobodys.content
    assert not Feedback.objects.exists()
    api.post(feedback_url(ended), {"rating": "up"})
    assert other_api.get(f"{WORKFLOWS}{ended}/").status_code == 404


def test_feedback_needs_a_tenants_key(ended: str, anonymous: Api) -> None:
    """401 without one, 403 with an operator's."""
    assert_problem(anonymous.post(feedback_url(ended), {"rating": "up"}), 401, "no-api-key")
    operator = Api(api_key_issue(name="operator").plaintext)
    assert_problem(operator.post(feedback_url(ended), {"rating": "up"}), 403, "tenant-key-needed")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/rating"),
        ({"rating": "sideways"}, "/rating"),
        ({"rating": "UP"}, "/rating"),
        ({"rating": 1}, "/rating"),
        ({"rating": True}, "/rating"),
        ({"rating": None}, "/rating"),
        ({"rating": ["up"]}, "/rating"),
        ({"rating": {"up": 1}}, "/rating"),
        ({"rating": "up", "comment": "x" * 2_001}, "/comment"),
        ({"rating": "up", "comment": 7}, "/comment"),
        ({"rating": "up", "comment": None}, "/comment"),
        ({"rating": "up", "stars": 5}, "/stars"),
    ],
)
def test_feedback_that_makes_no_sense_is_refused(
    api: Api, ended: str, body: dict[str, Any], pointer: str
) -> None:
    """400, which says where; nothing is stored."""
    problem = assert_problem(api.post(feedback_url(ended), body), 400, "invalid-request")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert not Feedback.objects.exists()


def test_the_longest_comment_is_kept_whole(api: Api, ended: str) -> None:
    """Two thousand characters, whatever they are."""
    comment = "ü💡" * 1_000
    assert api.post(feedback_url(ended), {"rating": "up", "comment": comment}).json()["comment"] == comment


def test_feedback_is_only_posted(api: Api, ended: str) -> None:
    """405 for anything else."""
    assert_problem(api.get(feedback_url(ended)), 405, "method-not-allowed")
    assert_problem(api.delete(feedback_url(ended)), 405, "method-not-allowed")
