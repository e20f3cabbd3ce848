"""Vectors are made in the background, and searched together with full text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from pytest_django import Settings

from agentplatform.embedding.vectors import MODEL_NAME
from apps.embedder import embedder
from apps.knowledge import embedding, selectors
from apps.knowledge.embedding import embed_pending
from apps.knowledge.models import Document, Embedding
from apps.knowledge.retrieval import VECTORS_INCOMPLETE, VECTORS_UNAVAILABLE, retrieve
from apps.knowledge.selectors import knowledge_state, knowledge_version, passage_counts, search_passages
from apps.knowledge.services import document_create, document_delete, document_update, documents_embed_anew
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from tests.embedder import running_embedder

CONTENT = (
    "# Rotating\n\nA new credential replaces the old one.\n\n# Herds\n\nElephants roam the savannah together."
)
QUESTION = "How can I swap my secret?"  # not a word of it stands in CONTENT


@pytest.fixture(scope="module")
def running() -> Iterator[None]:
    """The embedder, where the settings say it is."""
    with running_embedder(Path(settings.EMBEDDER_SOCKET)):
        yield


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A standard tenant."""
    return tenant_create(name="acme", tier="standard")


def add(tenant: Tenant, content: str = CONTENT, **fields: Any) -> Document:
    """A Markdown document."""
    return document_create(
        tenant=tenant, **{"title": "T", "content": content, "content_type": "text/markdown", **fields}
    )


def found(tenant: Tenant, question: str = QUESTION, limit: int = 8) -> list[str]:
    """The headings of what is found."""
    return [
        passage.heading for passage in retrieve(tenant_id=tenant.pk, question=question, limit=limit).passages
    ]


def test_a_passage_is_found_by_its_meaning(running: None, tenant: Tenant) -> None:
    """Once it has its vector; until then the search says that it fell short."""
    document = add(tenant)
    before = retrieve(tenant_id=tenant.pk, question=QUESTION, limit=8)
    assert (list(before.passages), list(before.degradations)) == ([], [VECTORS_INCOMPLETE])
    assert passage_counts(document) == (2, 0)
    assert embed_pending() is False
    assert passage_counts(document) == (2, 2)
    after = retrieve(tenant_id=tenant.pk, question=QUESTION, limit=8)
    assert [passage.heading for passage in after.passages] == ["Rotating"]
    assert list(after.degradations) == []


def test_a_passage_that_both_ways_find_comes_before_one_that_one_finds(running: None, tenant: Tenant) -> None:
    """Ranks fall, and lie in (0, 1]."""
    add(
        tenant, "# Swapping secrets\n\nSwap a secret.\n\n# Rotating\n\nA new credential replaces the old one."
    )
    embed_pending()
    passages = retrieve(tenant_id=tenant.pk, question=QUESTION, limit=8).passages
    assert [passage.heading for passage in passages] == ["Swapping secrets", "Rotating"]
    assert passages[0].rank == pytest.approx(1)
    assert 0 < passages[1].rank < 1


def test_without_the_embedder_full_text_is_searched_and_said(
    tenant: Tenant, tmp_path: Path, settings: Settings
) -> None:
    """What is found is less, and nobody is left to wonder why."""
    add(tenant)
    settings.EMBEDDER_SOCKET = str(tmp_path / "nobody")
    embedder.cache_clear()
    retrieval = retrieve(tenant_id=tenant.pk, question="Where do elephants roam?", limit=8)
    assert [passage.heading for passage in retrieval.passages] == ["Herds"]
    assert list(retrieval.degradations) == [VECTORS_UNAVAILABLE]
    assert embed_pending() is False
    assert Embedding.objects.count() == 0
    embedder.cache_clear()


def test_a_change_makes_the_vectors_of_what_it_changed_anew(running: None, tenant: Tenant) -> None:
    """The old ones are gone with the old passages; a title stands in every one of them."""
    document = add(tenant)
    embed_pending()
    document_update(document, {"content": "# Rivers\n\nWater flows to the sea."})
    assert passage_counts(document) == (1, 0)
    embed_pending()
    assert found(tenant, "Where do streams end?") == ["Rivers"]
    document_update(document, {"title": "Credentials"})
    assert passage_counts(document) == (1, 0)
    embed_pending()
    document_update(document, {"metadata": {"a": 1}})
    assert passage_counts(document) == (1, 1)
    document.refresh_from_db()
    assert document.embedding_model == MODEL_NAME


def test_each_tenant_finds_its_own_alone_by_meaning_too(running: None, tenant: Tenant) -> None:
    """However near another's would be."""
    other = tenant_create(name="other", tier="standard")
    add(other)
    embed_pending()
    assert found(tenant) == []
    assert found(other) == ["Rotating"]


def test_tenants_take_turns(running: None, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant with a library does not keep another waiting for its one page."""
    monkeypatch.setattr(embedding, "BATCH_PASSAGES", 2)
    monkeypatch.setattr(embedding, "TURN_BATCHES", 1)
    other = tenant_create(name="other", tier="standard")
    library = add(tenant, "\n\n".join(f"# H{number}\n\nText {number}." for number in range(40)))
    page = add(other, "# A\n\nOne.\n\n# B\n\nTwo.")
    assert embed_pending(seconds=0) is True
    assert embed_pending(seconds=0) is True
    assert embed_pending(seconds=0.15) is True
    assert passage_counts(page) == (2, 2)
    assert passage_counts(library)[1] < 40
    assert embed_pending() is False
    assert passage_counts(library) == (40, 40)


def test_vectors_of_another_model_are_made_anew_and_not_searched(running: None, tenant: Tenant) -> None:
    """The passages are found by full text meanwhile."""
    document = add(tenant)
    embed_pending()
    Embedding.objects.update(model="older")
    Document.objects.update(embedding_model="older")
    assert found(tenant) == []
    assert knowledge_state(tenant).embedded_passages == 0
    embed_pending()
    assert found(tenant) == ["Rotating"]
    assert documents_embed_anew(Document.objects.of(tenant)) == 1
    assert passage_counts(document) == (2, 0)


def test_a_document_that_changes_while_it_is_embedded_is_not_taken_for_done(
    running: None, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vectors that came too late are dropped; the next look makes the right ones."""
    document = add(tenant)
    embed_passages = embedder().embed_passages

    def slowly(texts: list[str]) -> list[list[float]]:
        monkeypatch.undo()
        document_update(
            document, {"content": "# Rivers\n\nWater flows to the sea.\n\n# Seas\n\nThey are wide."}
        )
        return embed_passages(texts)

    monkeypatch.setattr(embedder(), "embed_passages", slowly)
    assert embed_pending() is False
    assert passage_counts(document) == (2, 2)
    assert found(tenant, "Where do streams end?")[0] == "Rivers"


def test_large_and_small_knowledge_bases_find_the_same(
    running: None, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the index as by comparing each, among the vectors of other tenants."""
    other = tenant_create(name="other", tier="standard")
    add(tenant)
    for number in range(5):
        add(other, "\n\n".join(f"# Secret {n}\n\nSwap secret {number} {n}." for n in range(40)))
    embed_pending()
    vector = embedder().embed_question(QUESTION)
    ask = {"tenant_id": tenant.pk, "question": QUESTION, "limit": 8, "vector": vector}
    exact = search_passages(**ask)
    monkeypatch.setattr(selectors, "EXACT_SCAN_PASSAGES", 1)
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
    try:
        assert search_passages(**ask) == exact
    finally:
        connection.close()
    assert [passage.heading for passage in exact] == ["Rotating"]


def test_the_version_grows_with_every_change_of_the_content(tenant: Tenant) -> None:
    """Not with one of what nobody reads in an answer, nor with another tenant's."""
    other = tenant_create(name="other", tier="standard")
    seen = [knowledge_version(tenant.pk)]

    def note() -> None:
        seen.append(knowledge_version(tenant.pk))

    document = add(tenant)
    note()
    document_update(document, {"content": "# New\n\nText."})
    note()
    document_update(document, {"title": "New title"})
    note()
    document_update(document, {"metadata": {"a": 1}, "title": "New title"})
    note()
    add(other)
    note()
    document_delete(document)
    note()
    assert seen == [0, 1, 2, 3, 3, 3, 4]
    state = knowledge_state(tenant)
    assert (state.version, state.documents, state.passages) == (4, 0, 0)
    assert selectors.KnowledgeBase.objects.get(pk=tenant.pk).passages == 0
