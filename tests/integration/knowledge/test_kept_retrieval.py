"""What was found for a question is found again without a search, and never after the knowledge base has changed."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from agentplatform.retrieval.pdf import PdfError, pdf_pages
from apps.embedder import embedder, question_vector
from apps.knowledge import pdfs, retrieval
from apps.knowledge.embedding import embed_pending
from apps.knowledge.models import Document
from apps.knowledge.pdfs import read_pdf
from apps.knowledge.retrieval import VECTORS_INCOMPLETE, retrieve
from apps.knowledge.services import document_create, document_delete, document_update
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from tests.pdfs import pdf_of

pytestmark = pytest.mark.usefixtures("embedder")

QUESTION = "How many elephants are there?"


def add(tenant: Tenant, content: str = "Elephants: 0.") -> Document:
    """A document with its vectors."""
    document = document_create(tenant=tenant, title="T", content=content, content_type="text/plain")
    embed_pending()
    return document


def found(tenant: Tenant, question: str = QUESTION, limit: int = 8) -> list[str]:
    """The texts that are found."""
    return [
        passage.text for passage in retrieve(tenant_id=tenant.pk, question=question, limit=limit).passages
    ]


def statements_of(ask: Callable[[], Any]) -> int:
    """How many statements the database is asked."""
    with CaptureQueriesContext(connection) as captured:
        ask()
        return len(captured)


def test_the_same_question_is_searched_for_once(tenant: Tenant) -> None:
    """The second time the version is read and nothing else; what is found is the same, to the last digit."""
    add(tenant)
    first = retrieve(tenant_id=tenant.pk, question=QUESTION, limit=8)
    again: list[Any] = []
    ask = lambda: again.append(retrieve(tenant_id=tenant.pk, question=f" {QUESTION}\n", limit=8))  # noqa: E731
    assert statements_of(ask) == 1
    assert again == [first]
    assert first.knowledge_version == 1
    assert statements_of(lambda: found(tenant, limit=7)) > 1
    assert statements_of(lambda: found(tenant, "How many lions?")) > 1


def test_a_change_is_seen_by_the_next_question(tenant: Tenant) -> None:
    """Whatever is changed: a content, a title, a document more or less."""
    document = add(tenant)
    assert found(tenant) == ["Elephants: 0."]
    document_update(document, {"content": "Elephants: 1."})
    embed_pending()
    assert found(tenant) == ["Elephants: 1."]
    document_update(document, {"title": "Herds"})
    embed_pending()
    assert retrieve(tenant_id=tenant.pk, question=QUESTION, limit=8).passages[0].title == "Herds"
    more = add(tenant, "Elephants: 2.")
    assert len(found(tenant)) == 2
    document_delete(more)
    assert found(tenant) == ["Elephants: 1."]
    document_delete(document)
    assert found(tenant) == []


def test_no_answer_from_before_a_change_follows_it_whoever_asks_meanwhile(tenant: Tenant) -> None:
    """Eight ask all the while; none is told less than what stood there when it began to ask."""
    document = add(tenant)
    committed, ended = [0], threading.Event()

    def ask() -> int:
        asked = 0
        while not ended.is_set():
            before = committed[0]
            (text,) = found(tenant)
            assert int(text.removeprefix("Elephants: ").removesuffix(".")) >= before
            asked += 1
        connection.close()
        return asked

    with ThreadPoolExecutor(8) as threads:
        asking = [threads.submit(ask) for _ in range(8)]
        try:
            for number in range(1, 11):
                document_update(document, {"content": f"Elephants: {number}."})
                committed[0] = number
                embed_pending()
        finally:
            ended.set()
        answers = sum(one.result(10) for one in asking)
    assert answers > 30
    assert found(tenant) == ["Elephants: 10."]


def test_what_was_found_while_vectors_came_is_not_kept(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search may have missed what they stand for, although nothing is missing afterwards."""
    document_create(tenant=tenant, title="T", content="The savannah is wide.", content_type="text/plain")
    search = retrieval.search_passages

    def search_first(**told: Any) -> Any:
        passages = search(**told)
        embed_pending()
        return passages

    monkeypatch.setattr(retrieval, "search_passages", search_first)
    question = "How large are grassy plains?"  # not a word of it stands in the document
    first = retrieve(tenant_id=tenant.pk, question=question, limit=8)
    assert (list(first.passages), list(first.degradations)) == ([], [VECTORS_INCOMPLETE])
    assert found(tenant, question) == ["The savannah is wide."]


def test_each_tenant_has_its_own_findings(tenant: Tenant) -> None:
    """At the same version, for the same question."""
    other = tenant_create(name="other", tier="standard")
    add(tenant)
    add(other, "Elephants: 9.")
    assert [found(tenant), found(other), found(tenant)] == [
        ["Elephants: 0."],
        ["Elephants: 9."],
        ["Elephants: 0."],
    ]


def test_the_vector_of_a_question_is_made_once(tmp_path: Path, settings: Settings) -> None:
    """It is had without the embedder afterwards, by its tenant; without either there is none."""
    tenant_id = uuid.uuid4()
    vector = embedder().embed_question("Where are lions?")
    assert question_vector(tenant_id, " Where  are lions?") == vector
    settings.EMBEDDER_SOCKET = str(tmp_path / "nobody")
    embedder.cache_clear()
    try:
        assert question_vector(tenant_id, "Where are lions?", timeout_seconds=0.05) == vector
        assert question_vector(tenant_id, "Where are tigers?") is None
        assert question_vector(uuid.uuid4(), "Where are lions?") is None
    finally:
        embedder.cache_clear()


def test_the_same_pdf_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its bytes, whatever it is called; another tenant's is read for itself. So is what is wrong with one."""
    read: list[bytes] = []

    def count(data: bytes) -> list[str]:
        read.append(data)
        return pdf_pages(data)

    monkeypatch.setattr(pdfs, "pdf_pages", count)
    tenant_id, pdf, scan = uuid.uuid4(), pdf_of("Elephants roam."), pdf_of("")
    assert read_pdf(tenant_id, pdf) == read_pdf(tenant_id, pdf) == ["Elephants roam."]
    assert read == [pdf]
    for _ in range(2):
        with pytest.raises(PdfError, match="1 page and no text") as caught:
            read_pdf(tenant_id, scan)
        assert caught.value.code == "pdf_without_text"
    assert read == [pdf, scan]
    assert read_pdf(uuid.uuid4(), pdf) == ["Elephants roam."]
    assert len(read) == 3


def test_a_pdf_that_was_too_much_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may have had too much to do."""
    tenant_id, pdf = uuid.uuid4(), pdf_of("Elephants roam.")

    def too_much(data: bytes) -> list[str]:
        raise PdfError("pdf_too_complex", "…")

    monkeypatch.setattr(pdfs, "pdf_pages", too_much)
    with pytest.raises(PdfError):
        read_pdf(tenant_id, pdf)
    monkeypatch.undo()
    assert read_pdf(tenant_id, pdf) == ["Elephants roam."]
