"""Submitting workflows: what is stored, what is repeated, what it would cost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue, tenant_create
from apps.workflows.maintenance import purge_expired_records
from apps.workflows.models import IdempotencyKey, Step, Workflow
from tests.integration.api.conftest import WORKFLOWS, Api, assert_problem

Stored = Callable[[], tuple[int, ...]]
NOOP = {"type": "one_noop", "input": {}}


def test_an_accepted_submission_says_where_to_watch_it(api: Api) -> None:
    """202 with the urls of status and events; the run is there at once, with its step."""
    response = api.post(WORKFLOWS, {**NOOP, "priority": "batch", "metadata": {"order": 7}})
    assert response.status_code == 202
    body = response.json()
    assert set(body) == {"workflow_id", "status_url", "events_url"}
    assert body["status_url"] == f"http://testserver{WORKFLOWS}{body['workflow_id']}/"
    assert body["events_url"] == f"{body['status_url']}events/"
    assert response["Location"] == body["status_url"]
    read = api.get(f"{WORKFLOWS}{body['workflow_id']}/").json()
    assert (read["type"], read["status"], read["priority"]) == ("one_noop", "running", "batch")
    assert (read["result"], read["error"], read["finished_at"], read["cache"]) == (None, None, None, None)
    assert (read["metadata"], read["degradations"], read["cost_usd_micros"]) == ({"order": 7}, [], 0)
    (step,) = read["steps"]
    assert step.pop("waiting_since") is not None
    assert step == {
        "key": "step_0",
        "status": "ready",
        "attempts": 0,
        "agent": "noop",
        "tier": "fast",
        "served_by": None,
        "tool_calls": [],
        "waiting_for": "no_worker",
        "waiting_until": None,
        "waiting_reason": "No live worker serves this queue; start one.",
    }


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, 3_600),
        ({"priority": "interactive"}, 600),
        ({"priority": "batch"}, 86_400),
        ({"deadline_seconds": 1}, 1),
        ({"deadline_seconds": 7 * 86_400}, 7 * 86_400),
    ],
)
def test_a_deadline_is_the_one_asked_for_or_its_queues(
    api: Api, fields: dict[str, Any], seconds: int
) -> None:
    """Counted from the submission, on the database's clock."""
    workflow = Workflow.objects.get(pk=api.submit(**fields))
    # Inside the test's transaction, "now" stands still while the statement's own time goes on.
    lag = timedelta(seconds=seconds) - (workflow.deadline_at - workflow.created_at)
    assert timedelta(0) <= lag < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("asked", "stored_as"),
    [(0.000001, 1), (0.1, 100_000), ("0.1", 100_000), (1.000001, 1_000_001), (999_999, 999_999_000_000)],
)
def test_a_cost_limit_is_kept_to_the_micro_dollar(api: Api, asked: float | str, stored_as: int) -> None:
    """No float's rounding comes in between."""
    assert Workflow.objects.get(pk=api.submit(max_cost_usd=asked)).max_cost_usd_micros == stored_as


def test_an_unknown_type_is_answered_with_those_there_are(api: Api, stored: Stored) -> None:
    """422, and nothing is stored."""
    problem = assert_problem(api.post(WORKFLOWS, {"type": "nope", "input": {}}), 422, "invalid-input")
    assert problem["errors"][0]["pointer"] == "/type"
    assert "answer_question" in problem["errors"][0]["detail"]
    assert not any(stored())


def test_without_a_type_the_input_says_what_it_is_for(api: Api) -> None:
    """A question goes to answer_question: the schema and the words decide, no model."""
    response = api.post(WORKFLOWS, {"input": {"question": "How do I rotate an API key?"}})
    assert response.status_code == 202
    workflow = Workflow.objects.select_related("definition").get(pk=response.json()["workflow_id"])
    assert workflow.definition.type == "answer_question"


class TestDryRun:
    """`dry_run` plans and prices, and stores nothing."""

    def test_it_tells_the_plan_and_the_worst_case(self, api: Api, stored: Stored) -> None:
        """Every step with its model; the total is their sum."""
        body = {"type": "answer_question", "input": {"question": "What is a lease?"}, "dry_run": True}
        response = api.post(WORKFLOWS, body, Idempotency_Key="k")
        assert response.status_code == 200
        plan = response.json()
        assert (plan["type"], [step["key"] for step in plan["steps"]]) == (
            "answer_question",
            ["classify", "retrieve", "answer"],
        )
        assert [step["tier"] for step in plan["steps"]] == ["fast", "auto", "auto"]
        assert [step["count"] for step in plan["steps"]] == [1, 1, 1]
        models = [step["model"] for step in plan["steps"]]
        assert models == ["claude-haiku-5-5", None, None]
        costs = [step["worst_case_cost_usd_micros"] for step in plan["steps"]]
        assert [cost > 0 for cost in costs] == [True, False, True]
        assert plan["worst_case_cost_usd_micros"] == sum(costs)
        assert not any(stored())

    def test_a_priority_with_more_attempts_may_cost_more(self, api: Api) -> None:
        """The worst case counts every attempt."""
        body = {"type": "each", "input": {"items": [1]}, "dry_run": True}
        costs = {
            priority: api.post(WORKFLOWS, {**body, "priority": priority}).json()["worst_case_cost_usd_micros"]
            for priority in ("interactive", "standard", "batch")
        }
        # 1,000 output tokens of the fast tier's model are 500 micro-dollars an attempt.
        assert costs == {"interactive": 2 * 500, "standard": 3 * 500, "batch": 5 * 500}

    def test_a_list_that_only_the_run_knows_has_no_count(self, api: Api) -> None:
        """What a step will list is null in the plan."""
        plan = api.post(WORKFLOWS, {"type": "fan_out", "input": {"count": 3}, "dry_run": True}).json()
        assert [step["count"] for step in plan["steps"]] == [1, None, 1]
        assert plan["worst_case_cost_usd_micros"] is None

    @pytest.mark.parametrize("items", [[], [1], [1, 2, 3]])
    def test_a_list_in_the_input_is_counted(self, api: Api, items: list[int]) -> None:
        """Each element is a step of three attempts; of an empty list there is none to pay for."""
        body = {"type": "each", "input": {"items": items}, "dry_run": True}
        step = api.post(WORKFLOWS, body).json()["steps"][0]
        assert (step["count"], step["worst_case_cost_usd_micros"]) == (len(items), len(items) * 3 * 500)

    def test_what_could_not_run_is_no_plan_either(self, api: Api) -> None:
        """The same 422 as without it."""
        body = {"type": "answer_question", "input": {}, "dry_run": True}
        assert_problem(api.post(WORKFLOWS, body), 422, "invalid-input")


def test_a_list_that_is_not_in_the_input_is_422(api: Api, stored: Stored) -> None:
    """What the definition fans out over must be there."""
    for items in ({}, {"items": 3}, {"items": {"0": 1}}):
        problem = assert_problem(api.post(WORKFLOWS, {"type": "each", "input": items}), 422, "invalid-input")
        assert problem["errors"][0]["pointer"] == "/input/items"
    assert not any(stored())


class TestIdempotencyKey:
    """A repeat within 24 hours is the first workflow again."""

    def test_a_repeat_returns_the_first_workflow(self, api: Api) -> None:
        """202 with the same id, marked as a repeat, however the body is laid out."""
        first = api.post(WORKFLOWS, {"input": {"a": 1, "b": 2}, "type": "one_noop"}, Idempotency_Key="k1")
        second = api.post(WORKFLOWS, {"type": "one_noop", "input": {"b": 2, "a": 1}}, Idempotency_Key="k1")
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json() == second.json()
        assert "Idempotency-Replayed" not in first
        assert second["Idempotency-Replayed"] == "true"
        assert (Workflow.objects.count(), Step.objects.count()) == (1, 1)

    @pytest.mark.parametrize(
        "change",
        [
            {"type": "ten_noops"},
            {"input": {"a": 2}},
            {"priority": "batch"},
            {"deadline_seconds": 60},
            {"max_cost_usd": 1},
            {"metadata": {"a": 1}},
        ],
    )
    def test_the_same_key_with_another_body_is_409(self, api: Api, change: dict[str, Any]) -> None:
        """Whatever differs; nothing is stored of it."""
        assert api.post(WORKFLOWS, NOOP, Idempotency_Key="k1").status_code == 202
        response = api.post(WORKFLOWS, {**NOOP, **change}, Idempotency_Key="k1")
        assert_problem(response, 409, "idempotency-key-reused")
        assert Workflow.objects.count() == 1

    def test_another_tenants_same_key_is_another_key(self, api: Api, other_api: Api) -> None:
        """Keys are each tenant's own."""
        mine = api.post(WORKFLOWS, NOOP, Idempotency_Key="k1").json()
        theirs = other_api.post(WORKFLOWS, {**NOOP, "priority": "batch"}, Idempotency_Key="k1").json()
        assert mine["workflow_id"] != theirs["workflow_id"]

    def test_a_key_of_yesterday_is_free_again(self, api: Api) -> None:
        """After 24 hours the same key starts another run, with any body; before, not."""
        first = api.post(WORKFLOWS, NOOP, Idempotency_Key="k1").json()
        keys = IdempotencyKey.objects.all()
        keys.update(created_at=timezone.now() - timedelta(hours=23, minutes=59))
        assert purge_expired_records()["idempotency_keys"] == 0
        assert api.post(WORKFLOWS, NOOP, Idempotency_Key="k1").json() == first
        keys.update(created_at=timezone.now() - timedelta(hours=24, minutes=1))
        second = api.post(WORKFLOWS, {**NOOP, "priority": "batch"}, Idempotency_Key="k1")
        assert second.status_code == 202
        assert second.json() != first
        assert (
            api.post(WORKFLOWS, {**NOOP, "priority": "batch"}, Idempotency_Key="k1").json() == second.json()
        )

    def test_a_refused_submission_uses_no_key(self, api: Api, stored: Stored) -> None:
        """The same key works once the body is right."""
        assert_problem(api.post(WORKFLOWS, {"input": 1}, Idempotency_Key="k1"), 400)
        assert_problem(api.post(WORKFLOWS, {"type": "x", "input": {}}, Idempotency_Key="k1"), 422)
        assert not any(stored())
        assert api.post(WORKFLOWS, NOOP, Idempotency_Key="k1").status_code == 202

    @pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "a\tb", "\x00"])
    def test_a_key_that_cannot_be_one_is_400(self, api: Api, stored: Stored, key: str) -> None:
        """1 to 255 printable ASCII characters."""
        assert_problem(api.post(WORKFLOWS, NOOP, Idempotency_Key=key), 400, "invalid-idempotency-key")
        assert not any(stored())

    def test_the_longest_key_is_taken(self, api: Api) -> None:
        """255 characters."""
        assert api.post(WORKFLOWS, NOOP, Idempotency_Key="x" * 255).status_code == 202


def test_sixteen_repeats_at_once_start_one_workflow(transactional_db: None) -> None:
    """Every one of them is answered with the same id; one says it is the first."""
    tenant: Tenant = tenant_create(name="acme", tier="standard")
    key = api_key_issue(name="first", tenant=tenant).plaintext
    together = threading.Barrier(16)

    def submit(_: int) -> Any:
        together.wait()
        try:
            return Api(key).post(WORKFLOWS, NOOP, Idempotency_Key="k1")
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as threads:
        responses = list(threads.map(submit, range(16)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["workflow_id"] for response in responses}) == 1
    assert sum("Idempotency-Replayed" not in response for response in responses) == 1
    assert (Workflow.objects.count(), Step.objects.count()) == (1, 1)
