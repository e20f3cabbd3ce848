"""Operators' endpoints: dead letters, and operations on many workflows."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from agentplatform.execution.attempts import Outcome
from agentplatform.execution.retry import Failure
from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue, tenant_create
from apps.workflows.dead_letters import dead_letters_file
from apps.workflows.letters import DeadLetter, OperatorAction
from apps.workflows.models import Step, Workflow
from tests.integration.api.conftest import PROBLEM, WORKFLOWS, Api, assert_problem
from tests.integration.api.test_hostile_requests import FUZZED, mutated
from tests.integration.conftest import Hand

LETTERS = "/api/v1/dead-letters/"
OPERATIONS = "/api/v1/operations/workflows/"
PATHS = [
    ("GET", LETTERS),
    ("GET", f"{LETTERS}groups/"),
    ("GET", f"{LETTERS}{uuid.uuid4()}/"),
    ("POST", f"{LETTERS}requeue/"),
    ("POST", f"{LETTERS}discard/"),
    *(("POST", f"{OPERATIONS}{verb}/") for verb in ("cancel", "pause", "resume")),
]


@pytest.fixture
def operator(db: None) -> Api:
    """The API with an operator's key."""
    return Api(api_key_issue(name="ops").plaintext)


@pytest.fixture
def die(api: Api, tenant: Tenant) -> Callable[..., DeadLetter]:
    """Has a workflow's step give up; returns its letter."""

    def give_up(code: str = "made_to_fail", by: Api = api, **fields: Any) -> DeadLetter:
        by.submit(**fields)
        hand = Hand()
        failure = Failure(code, "It failed on purpose.", transient=False, traceback="frames")
        hand.finish(hand.claim_next(), outcome=Outcome(failure=failure))
        return DeadLetter.objects.latest("pk")

    return give_up


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_only_an_operators_key_may(api: Api, anonymous: Api, method: str, path: str) -> None:
    """401 without a key, 403 with a tenant's."""
    assert_problem(anonymous.send(method, path, b"{}"), 401, "no-api-key")
    assert_problem(api.send(method, path, b"{}"), 403, "operator-key-needed")


def test_letters_are_listed_and_filtered(operator: Api, die: Callable[..., DeadLetter]) -> None:
    """Newest first, in pages, by whatever tells them apart."""
    first, second, third = die(), die("another"), die(type="one_echo", input={"output": 1})
    ids = [str(letter.pk) for letter in (third, second, first)]
    assert [letter["id"] for letter in operator.get(LETTERS).json()["results"]] == ids
    page = operator.get(f"{LETTERS}?limit=2").json()
    assert [letter["id"] for letter in page["results"]] == ids[:2]
    rest = operator.get(page["next"].removeprefix("http://testserver")).json()
    assert [letter["id"] for letter in rest["results"]] == ids[2:]
    for query, found in {
        f"fingerprint={second.fingerprint}": [second],
        "error_code=another": [second],
        "type=one_echo": [third],
        "agent=noop": [second, first],
        "reason=permanent&status=open": [third, second, first],
        "status=discarded": [],
        f"workflow={first.workflow_id}": [first],
        f"tenant={uuid.uuid4()}": [],
        f"tenant={first.tenant_id}&type=one_noop": [second, first],
    }.items():
        results = operator.get(f"{LETTERS}?{query}").json()["results"]
        assert [letter["id"] for letter in results] == [str(letter.pk) for letter in found], query
    for query in ("status=nonsense", "tenant=nonsense", "cursor=nonsense", "limit=0", "agent=%00"):
        assert_problem(operator.get(f"{LETTERS}?{query}"), 400, "invalid-parameter")


def test_a_letter_shows_its_attempts_and_what_the_step_was_given(
    operator: Api, die: Callable[..., DeadLetter]
) -> None:
    """404 for one that is not there."""
    letter = die(type="one_echo", input={"output": [1]})
    shown = operator.get(f"{LETTERS}{letter.pk}/").json()
    assert (shown["type"], shown["key"], shown["error_code"]) == ("one_echo", "step_0", "made_to_fail")
    (attempt,) = shown["attempts"]
    assert (attempt["outcome"], attempt["traceback"]) == ("failed", "frames")
    assert shown["payload"] == {"input": {"output": [1]}, "options": {}, "item": None, "needs": {}}
    assert_problem(operator.get(f"{LETTERS}{uuid.uuid4()}/"), 404)


def test_groups_count_letters(operator: Api, die: Callable[..., DeadLetter]) -> None:
    """All there have been, and those that are open."""
    letters = [die(), die(), die("another")]
    dead_letters_file([letter.pk for letter in letters])
    operator.post(f"{LETTERS}discard/", {"ids": [str(letters[0].pk)], "reason": "a test"})
    groups = {group["error_code"]: group for group in operator.get(f"{LETTERS}groups/").json()}
    assert [(group["letters"], group["open_letters"]) for group in groups.values()] in (
        [(2, 1), (1, 1)],
        [(1, 1), (2, 1)],
    )
    assert groups["made_to_fail"]["open_letters"] == 1


def test_a_fingerprint_is_requeued_once(operator: Api, die: Callable[..., DeadLetter]) -> None:
    """All its open letters; the answer and the record say of what and by whom."""
    letters = [die(), die(), die("another")]
    body = {"fingerprint": letters[0].fingerprint, "rate_per_minute": 30}
    tried = operator.post(f"{LETTERS}requeue/", {**body, "dry_run": True}).json()
    assert (tried["requeued"], tried["last_starts_in_seconds"], tried["operation_id"]) == (2, 2.0, None)
    assert Workflow.objects.filter(status="running").count() == 0
    done = operator.post(f"{LETTERS}requeue/", body).json()
    assert (done["matched"], done["requeued"], done["refused"], done["has_more"]) == (2, 2, [], False)
    assert operator.post(f"{LETTERS}requeue/", body).json()["matched"] == 0
    assert Workflow.objects.filter(status="running").count() == 2
    action = OperatorAction.objects.get(pk=done["operation_id"])
    assert action.actor.startswith("key ap_")
    assert action.details["asked"] == {"fingerprint": letters[0].fingerprint}
    assert action.details["letters"] == [str(letter.pk) for letter in letters[:2]]


def test_an_edited_input_must_be_one_that_the_workflow_takes(
    operator: Api, api: Api, die: Callable[..., DeadLetter]
) -> None:
    """422 with the place, and nothing is requeued; nor is one tenant's input given to another's workflow."""
    letter = die(type="answer_question", input={"question": "Who pays?"})
    body = {"ids": [str(letter.pk)], "input": {"question": 1}}
    document = assert_problem(operator.post(f"{LETTERS}requeue/", body), 422, "invalid-input")
    assert document["errors"][0]["pointer"] == "/input/question"
    other = Api(api_key_issue(name="x", tenant=tenant_create(name="globex", tier="standard")).plaintext)
    foreign = die(by=other)
    both = {"ids": [str(letter.pk), str(foreign.pk)], "input": {"question": "Who?"}}
    assert_problem(operator.post(f"{LETTERS}requeue/", both), 422, "several-tenants")
    assert set(DeadLetter.objects.values_list("status", flat=True)) == {"open"}
    assert not OperatorAction.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": []},
        {"ids": ["nonsense"]},
        {"ids": [str(uuid.uuid4())] * 1_001},
        {"ids": [str(uuid.uuid4())], "fingerprint": "x"},
        {"fingerprint": ""},
        {"fingerprint": "x", "rate_per_minute": 0},
        {"fingerprint": "x", "deadline_seconds": 0},
        {"fingerprint": "x", "input": []},
        {"fingerprint": "x", "dry_run": 1},
        {"fingerprint": "x", "misspelt": 1},
    ],
)
def test_a_requeue_that_makes_no_sense_is_refused(operator: Api, body: dict[str, Any]) -> None:
    """400, and no record."""
    assert_problem(operator.post(f"{LETTERS}requeue/", body), 400, "invalid-request")
    assert not OperatorAction.objects.exists()


def test_a_discard_needs_a_reason(operator: Api, die: Callable[..., DeadLetter]) -> None:
    """With one, the letter is closed for good."""
    letter = die()
    assert_problem(operator.post(f"{LETTERS}discard/", {"ids": [str(letter.pk)]}), 400)
    done = operator.post(f"{LETTERS}discard/", {"ids": [str(letter.pk)], "reason": "Not ours."}).json()
    assert done["discarded"] == 1
    shown = operator.get(f"{LETTERS}{letter.pk}/").json()
    assert (shown["status"], shown["resolution"]) == ("discarded", "Not ours.")
    assert shown["operation_id"] == done["operation_id"]


def test_many_workflows_are_paused_resumed_and_cancelled(operator: Api, api: Api, other_api: Api) -> None:
    """Those that match, of one tenant or of all; what is so already is not counted."""
    mine = [api.submit("ten_noops") for _ in range(3)]
    theirs = other_api.submit("ten_noops")
    tenant = Workflow.objects.get(pk=mine[0]).tenant_id
    tried = operator.post(f"{OPERATIONS}pause/", {"tenant": str(tenant), "dry_run": True}).json()
    assert tried == {"matched": 3, "changed": 0, "has_more": False, "operation_id": None}
    done = operator.post(f"{OPERATIONS}pause/", {"tenant": str(tenant)}).json()
    assert (done["matched"], done["changed"]) == (3, 3)
    assert OperatorAction.objects.get().details == {
        "asked": {"tenant": str(tenant)},
        "workflows": sorted(mine),
    }
    assert Step.objects.filter(waiting_for="resume").count() == 3
    assert other_api.get(f"{WORKFLOWS}{theirs}/").json()["status"] == "running"
    assert operator.post(f"{OPERATIONS}pause/", {"type": "ten_noops"}).json()["changed"] == 1
    assert operator.post(f"{OPERATIONS}resume/", {"ids": mine[:1]}).json()["changed"] == 1
    assert operator.post(f"{OPERATIONS}cancel/", {"status": "paused"}).json()["changed"] == 3
    statuses = [api.get(f"{WORKFLOWS}{key}/").json()["status"] for key in mine]
    assert statuses == ["running", "cancelled", "cancelled"]


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("pause", {}, 400),
        ("pause", {"dry_run": True}, 400),
        ("pause", {"status": "succeeded"}, 400),
        ("pause", {"tenant": "nonsense"}, 400),
        ("pause", {"misspelt": 1, "type": "x"}, 400),
        ("delete", {"type": "x"}, 404),
    ],
)
def test_an_operation_that_makes_no_sense_is_refused(
    operator: Api, verb: str, body: dict[str, Any], status: int
) -> None:
    """Nothing is ever done to all workflows for want of a filter."""
    assert_problem(operator.post(f"{OPERATIONS}{verb}/", body), status)


def test_a_tenant_pauses_and_resumes_its_own(api: Api, other_api: Api) -> None:
    """Each as often as it likes; another's is not there; one that has ended is 409."""
    workflow_id = api.submit("ten_noops")
    for verb, status in (
        ("pause", "paused"),
        ("pause", "paused"),
        ("resume", "running"),
        ("resume", "running"),
    ):
        response = api.post(f"{WORKFLOWS}{workflow_id}/{verb}/", {})
        assert (response.status_code, response.json()["status"]) == (200, status)
        assert_problem(other_api.post(f"{WORKFLOWS}{workflow_id}/{verb}/", {}), 404)
    api.post(f"{WORKFLOWS}{workflow_id}/cancel/", {})
    for verb in ("pause", "resume"):
        document = assert_problem(api.post(f"{WORKFLOWS}{workflow_id}/{verb}/", {}), 409, "already-finished")
        assert "cancelled" in document["detail"]
    Workflow.objects.filter(pk=api.submit("one_noop")).update(status="held")
    held = Workflow.objects.get(status="held")
    assert_problem(api.post(f"{WORKFLOWS}{held.pk}/resume/", {}), 409, "not-paused")


REQUEUES = mutated(
    {"fingerprint": "x", "input": {}, "rate_per_minute": 1, "deadline_seconds": 60, "dry_run": True}
)
SELECTIONS = mutated(
    {"ids": [str(uuid.uuid4())], "tenant": str(uuid.uuid4()), "type": "x", "created_after": "2026-01-01"}
)


@FUZZED
@given(body=REQUEUES)
def test_no_requeue_is_a_500(operator: Api, body: Any) -> None:
    """Whatever was sent."""
    assert_clear(operator, f"{LETTERS}requeue/", body)


@FUZZED
@given(body=SELECTIONS)
def test_no_operation_is_a_500(operator: Api, body: Any) -> None:
    """Whatever was sent."""
    assert_clear(operator, f"{OPERATIONS}resume/", body)


def assert_clear(operator: Api, path: str, body: Any) -> None:
    """200, or a problem document of a 4xx."""
    try:
        response = operator.post(path, body)
    except (UnicodeEncodeError, ValueError):
        return  # no JSON can be made of it
    assert response.status_code < 500, response.content
    if response.status_code != 200:
        assert response["Content-Type"] == PROBLEM
