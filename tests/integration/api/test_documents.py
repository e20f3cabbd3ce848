"""Documents over REST: create, list, read, change, delete."""

from __future__ import annotations

import pytest

from apps.knowledge.models import Chunk
from tests.integration.api.conftest import DOCUMENTS, Api, assert_problem


def test_a_document_is_created_read_and_deleted(api: Api) -> None:
    """What was sent comes back; once deleted it is gone, with its chunks."""
    created = api.upload(content="# Head\n\nWords.\n", external_id="a/b", metadata={"n": 1})
    assert created["content"] == "# Head\n\nWords.\n"
    assert (created["content_type"], created["external_id"]) == ("text/markdown", "a/b")
    path = f"{DOCUMENTS}{created['id']}/"
    assert api.get(path).json() == created
    response = api.delete(path)
    assert (response.status_code, response.content) == (204, b"")
    assert_problem(api.get(path), 404, "not-found")
    assert_problem(api.delete(path), 404, "not-found")
    assert Chunk.objects.count() == 0


def test_a_list_leaves_the_contents_out(api: Api) -> None:
    """Summaries, newest first, found by external id."""
    first = api.upload(external_id="one")
    second = api.upload(external_id="two")
    listed = api.get(DOCUMENTS).json()["results"]
    assert [row["id"] for row in listed] == [second["id"], first["id"]]
    assert "content" not in listed[0]
    found = api.get(f"{DOCUMENTS}?external_id=one").json()["results"]
    assert [row["id"] for row in found] == [first["id"]]


def test_a_replacement_leaves_nothing_of_the_old(api: Api) -> None:
    """PUT: what it does not name is as for a new document."""
    created = api.upload(content_type="text/plain", external_id="x", metadata={"n": 1})
    response = api.put(f"{DOCUMENTS}{created['id']}/", {"title": "New", "content": "Other words."})
    assert response.status_code == 200
    changed = response.json()
    assert (changed["title"], changed["content"]) == ("New", "Other words.")
    assert (changed["content_type"], changed["external_id"], changed["metadata"]) == (
        "text/markdown",
        None,
        {},
    )
    assert (changed["id"], changed["created_at"]) == (created["id"], created["created_at"])
    assert list(Chunk.objects.values_list("text", flat=True)) == ["Other words."]


@pytest.mark.parametrize(
    "fields", [{"title": "New"}, {"metadata": {}}, {"external_id": None}, {"content": "Other."}, {}]
)
def test_a_change_changes_what_it_names(api: Api, fields: dict[str, object]) -> None:
    """PATCH: all the rest stays."""
    created = api.upload(external_id="x", metadata={"n": 1})
    response = api.patch(f"{DOCUMENTS}{created['id']}/", fields)
    assert response.status_code == 200
    changed = response.json()
    assert {**created, **fields, "updated_at": changed["updated_at"]} == changed


def test_an_external_id_is_a_tenants_own_and_used_once(api: Api, other_api: Api) -> None:
    """409 for a second document, new or changed; another tenant may have the same."""
    first = api.upload(external_id="x")
    second = api.upload(external_id="y")
    body = {"title": "t", "content": "c", "external_id": "x"}
    problem = assert_problem(api.post(DOCUMENTS, body), 409, "external-id-taken")
    assert "'x'" in problem["detail"]
    path = f"{DOCUMENTS}{second['id']}/"
    assert_problem(api.patch(path, {"external_id": "x", "content": "new"}), 409, "external-id-taken")
    assert_problem(api.put(path, body), 409, "external-id-taken")
    assert api.get(path).json() == second
    assert api.patch(f"{DOCUMENTS}{first['id']}/", {"external_id": "x"}).status_code == 200
    assert other_api.upload(external_id="x")["external_id"] == "x"
    api.delete(f"{DOCUMENTS}{first['id']}/")
    assert api.patch(path, {"external_id": "x"}).status_code == 200


def test_documents_without_an_external_id_do_not_conflict(api: Api) -> None:
    """Null is no name."""
    assert api.upload()["id"] != api.upload(external_id=None)["id"]
