"""Documents as files, the knowledge base as a whole, and searching it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from apps.knowledge.models import Chunk
from tests.integration.api.conftest import DOCUMENTS, Api, assert_problem
from tests.pdfs import pdf_of

KNOWLEDGE = "/api/v1/knowledge/"
MARKDOWN = b"# Keys\n\nRotate them."


def send(
    api: Api,
    data: bytes = MARKDOWN,
    name: str = "keys.md",
    file_type: str = "text/markdown",
    *,
    method: str = "POST",
    path: str = DOCUMENTS,
    part: str = "file",
    **fields: Any,
) -> Any:
    """An upload."""
    body = encode_multipart(BOUNDARY, {part: SimpleUploadedFile(name, data, file_type), **fields})
    return api.send(method, path, body, MULTIPART_CONTENT)


def test_a_markdown_file_becomes_a_document(api: Api) -> None:
    """Its title is its first heading; the other fields are sent beside it."""
    response = send(api, external_id="keys", metadata='{"team": "ops"}')
    assert response.status_code == 201, response.content
    document = response.json()
    assert (document["title"], document["content"]) == ("Keys", MARKDOWN.decode())
    assert (document["content_type"], document["external_id"]) == ("text/markdown", "keys")
    assert document["metadata"] == {"team": "ops"}
    assert (document["passages"], document["embedded_passages"], document["is_embedded"]) == (1, 0, False)


def test_a_pdf_becomes_its_text(api: Api) -> None:
    """A passage a page, found by its words; the page is its heading."""
    response = send(api, pdf_of("Elephants roam.", "Rivers flow."), "animals.pdf", "application/pdf")
    assert response.status_code == 201, response.content
    document = response.json()
    assert (document["title"], document["content_type"]) == ("animals", "application/pdf")
    assert document["content"] == "Elephants roam.\fRivers flow."
    found = api.post(f"{KNOWLEDGE}search/", {"question": "rivers"}).json()
    assert [passage["heading"] for passage in found["passages"]] == ["Page 2"]
    assert [degradation["code"] for degradation in found["degradations"]] == ["vectors_unavailable"]


@pytest.mark.parametrize(
    ("data", "name", "content_type", "status", "code"),
    [
        (pdf_of("", ""), "scan.pdf", "application/pdf", 422, "pdf-without-text"),
        (b"%PDF-1.7 broken", "x.pdf", "application/pdf", 422, "pdf-damaged"),
        (b"PK\x03\x04", "x.docx", "application/octet-stream", 415, "unsupported-file"),
        (b"no pdf at all", "x.pdf", "application/pdf", 415, "unsupported-file"),
        (b"\xff\xfe\x00", "x.txt", "text/plain", 422, "not-utf8"),
        (b"a\x00b", "x.txt", "text/plain", 422, "not-text"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(
    api: Api,
    stored: Callable[[], tuple[int, ...]],
    data: bytes,
    name: str,
    content_type: str,
    status: int,
    code: str,
) -> None:
    """And nothing is stored."""
    before = stored()
    problem = assert_problem(send(api, data, name, content_type), status, code)
    assert problem["errors"][0]["pointer"] == "/file"
    assert stored() == before


@pytest.mark.parametrize(
    "fields",
    [
        {"part": "document"},
        {"unknown": "x"},
        {"metadata": "{"},
        {"metadata": "[]"},
        {"title": ""},
        {"title": "x" * 501},
        {"title": ["one", "two"]},
        {"title": "a\x00b"},
        {"content": "beside the file"},
        {"content_type": "text/html"},
        {"data": b""},
    ],
    ids=str,
)
def test_fields_that_make_no_sense_are_refused(
    api: Api, stored: Callable[[], tuple[int, ...]], fields: dict[str, Any]
) -> None:
    """As in JSON."""
    before = stored()
    assert_problem(send(api, **fields), 400)
    assert stored() == before


def test_a_form_without_a_file_or_with_a_broken_body_is_refused(api: Api) -> None:
    """It says how a file is sent."""
    body = encode_multipart(BOUNDARY, {"title": "x"})
    assert "'file'" in assert_problem(api.send("POST", DOCUMENTS, body, MULTIPART_CONTENT), 400)["detail"]
    assert_problem(api.send("POST", DOCUMENTS, b"nonsense", MULTIPART_CONTENT), 400)
    assert_problem(api.send("POST", DOCUMENTS, b"", "multipart/form-data"), 400)


def test_a_pdf_is_not_sent_as_text(api: Api) -> None:
    """JSON has no place for its bytes."""
    body = {"title": "x", "content": "%PDF-1.4", "content_type": "application/pdf"}
    problem = assert_problem(api.post(DOCUMENTS, body), 400)
    assert "multipart/form-data" in json.dumps(problem)


def test_a_file_replaces_or_changes_a_document(api: Api) -> None:
    """PUT names it anew, PATCH leaves the title alone."""
    created = api.upload(title="Mine", external_id="x")
    path = f"{DOCUMENTS}{created['id']}/"
    changed = send(api, pdf_of("Rivers flow."), "r.pdf", method="PATCH", path=path).json()
    assert (changed["title"], changed["content"], changed["external_id"]) == ("Mine", "Rivers flow.", "x")
    assert changed["content_type"] == "application/pdf"
    rewritten = api.patch(path, {"content": "# Words\n\nof mine"}).json()
    assert rewritten["content_type"] == "text/plain"
    replaced = send(api, method="PUT", path=path).json()
    assert (replaced["title"], replaced["external_id"]) == ("Keys", None)
    assert list(Chunk.objects.values_list("heading", "text")) == [("Keys", "Rotate them.")]


def test_the_knowledge_base_says_how_much_it_holds(api: Api, other_api: Api) -> None:
    """Its own, with a version that changes with its content."""
    empty = {"version": 0, "changed_at": None, "documents": 0, "passages": 0, "embedded_passages": 0}
    assert api.get(KNOWLEDGE).json().items() >= empty.items()
    api.upload(content="# A\n\nOne.\n\n# B\n\nTwo.")
    state = api.get(KNOWLEDGE).json()
    assert (state["version"], state["documents"], state["passages"], state["embedded_passages"]) == (
        1,
        1,
        2,
        0,
    )
    assert state["changed_at"]
    assert other_api.get(KNOWLEDGE).json()["documents"] == 0
    assert other_api.post(f"{KNOWLEDGE}search/", {"question": "one"}).json()["passages"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"question": ""},
        {"question": "x" * 2001},
        {"question": "x", "limit": 0},
        {"question": "x", "n": 1},
    ],
)
def test_a_search_that_makes_no_sense_is_refused(api: Api, body: dict[str, Any]) -> None:
    """As everywhere."""
    assert_problem(api.post(f"{KNOWLEDGE}search/", body), 400)
