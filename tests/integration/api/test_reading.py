"""Reading lists page by page, cancelling, and the definitions there are."""

from __future__ import annotations

from itertools import chain

import pytest
from jsonschema import Draft202012Validator

from apps.workflows.models import Workflow
from tests.integration.api.conftest import DOCUMENTS, WORKFLOWS, Api, assert_problem

HOST = "http://testserver"


def flat(api: Api, path: str) -> list[str]:
    """The ids of all pages."""
    return list(chain.from_iterable(pages(api, path)))


def pages(api: Api, path: str) -> list[list[str]]:
    """The ids of every page, following `next`."""
    found = []
    following: str | None = path
    while following is not None:
        page = api.get(following.removeprefix(HOST)).json()
        found.append([row["id"] for row in page["results"]])
        following = page["next"]
    return found


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (2, [2]), (3, [2, 1]), (4, [2, 2]), (5, [2, 2, 1])])
def test_pages_hold_every_workflow_once_newest_first(api: Api, count: int, sizes: list[int]) -> None:
    """No page is longer than asked for, the last has no next."""
    ids = [api.submit() for _ in range(count)]
    found = pages(api, f"{WORKFLOWS}?limit=2")
    assert [len(page) for page in found] == sizes
    assert list(chain.from_iterable(found)) == ids[::-1]


def test_pages_stay_as_they_were_while_more_comes_in(api: Api) -> None:
    """What is added or ends between two pages moves nothing."""
    ids = [api.submit() for _ in range(4)]
    first = api.get(f"{WORKFLOWS}?limit=2").json()
    api.submit()
    api.post(f"{WORKFLOWS}{ids[1]}/cancel/", {})
    second = api.get(first["next"].removeprefix(HOST)).json()
    assert [row["id"] for row in first["results"] + second["results"]] == ids[::-1]


def test_filters_are_kept_from_page_to_page(api: Api) -> None:
    """`next` carries status and type with it."""
    noops = [api.submit() for _ in range(3)]
    api.submit("ten_noops")
    api.post(f"{WORKFLOWS}{noops[0]}/cancel/", {})
    assert flat(api, f"{WORKFLOWS}?type=one_noop&limit=1") == noops[::-1]
    assert flat(api, f"{WORKFLOWS}?type=one_noop&status=running&limit=1") == noops[:0:-1]
    assert flat(api, f"{WORKFLOWS}?status=cancelled") == [noops[0]]
    assert pages(api, f"{WORKFLOWS}?type=no+such") == [[]]


@pytest.mark.parametrize("path", [WORKFLOWS, DOCUMENTS])
@pytest.mark.parametrize("limit", ["0", "-1", "201", "1.5", "ten", "", "%00", "1e2", "²", "9" * 5_000])
def test_a_limit_out_of_bounds_is_400(api: Api, path: str, limit: str) -> None:
    """1 to 200, in digits."""
    assert_problem(api.get(f"{path}?limit={limit}"), 400, "invalid-parameter")


@pytest.mark.parametrize("limit", ["1", "200"])
def test_a_limit_within_bounds_is_taken(api: Api, limit: str) -> None:
    """Both ends are inside."""
    assert api.get(f"{WORKFLOWS}?limit={limit}").status_code == 200


@pytest.mark.parametrize("path", [WORKFLOWS, DOCUMENTS])
@pytest.mark.parametrize(
    "cursor", ["x", "garbage", "é", "%00", "====", "A" * 21, "A" * 23, "A" * 5_000, "../x"]
)
def test_a_cursor_that_no_page_gave_is_400(api: Api, path: str, cursor: str) -> None:
    """Whatever it holds."""
    assert_problem(api.get(f"{path}?cursor={cursor}"), 400, "invalid-parameter")


def test_an_unknown_status_is_400_and_names_those_there_are(api: Api) -> None:
    """A misspelt status would otherwise look like an empty list."""
    problem = assert_problem(api.get(f"{WORKFLOWS}?status=done"), 400, "invalid-parameter")
    assert "succeeded" in problem["detail"]


@pytest.mark.parametrize(
    "path",
    [
        f"{WORKFLOWS}?type=%00",
        f"{DOCUMENTS}?external_id=%00",
        f"{DOCUMENTS}?external_id=a%00b",
        "/api/v1/definitions/%00/",
    ],
)
def test_a_name_with_a_nul_is_refused(api: Api, path: str) -> None:
    """The database has no such text: it is never asked."""
    status, code = (400, "invalid-parameter") if "?" in path else (404, "not-found")
    assert_problem(api.get(path), status, code)


def test_a_query_of_a_thousand_parameters_is_400(api: Api) -> None:
    """What Django refuses to read is the sender's mistake."""
    query = "&".join(f"a{n}=1" for n in range(1_500))
    assert_problem(api.get(f"{WORKFLOWS}?{query}"), 400)


def test_a_workflow_is_cancelled_once(api: Api) -> None:
    """200 with the run as it has ended; from then on 409."""
    workflow_id = api.submit("ten_noops")
    response = api.post(f"{WORKFLOWS}{workflow_id}/cancel/", {})
    assert response.status_code == 200
    body = response.json()
    assert body["status"] == "cancelled"
    assert body["finished_at"] is not None
    assert {step["status"] for step in body["steps"]} == {"cancelled"}
    again = assert_problem(api.post(f"{WORKFLOWS}{workflow_id}/cancel/", {}), 409, "already-finished")
    assert "cancelled" in again["detail"]
    assert api.get(f"{WORKFLOWS}{workflow_id}/").json() == body
    assert Workflow.objects.get().revision == 1


def test_definitions_say_what_each_type_takes(api: Api) -> None:
    """Every one has a JSON Schema that its own examples fit."""
    listed = api.get("/api/v1/definitions/").json()["results"]
    types = [definition["type"] for definition in listed]
    assert types == sorted(types)
    assert {"answer_question", "one_noop", "fan_out"} <= set(types)
    for definition in listed:
        Draft202012Validator.check_schema(definition["input_schema"])
        for example in definition["examples"]:
            Draft202012Validator(definition["input_schema"]).validate(example)
        assert api.get(f"/api/v1/definitions/{definition['type']}/").json() == definition
    assert next(d for d in listed if d["type"] == "answer_question")["examples"]
    assert_problem(api.get("/api/v1/definitions/nope/"), 404, "not-found")
