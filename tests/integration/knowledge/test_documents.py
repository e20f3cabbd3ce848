"""Documents and their chunks change together, whoever else changes them at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from apps.knowledge.models import Chunk, Document
from apps.knowledge.services import (
    DocumentGone,
    ExternalIdTaken,
    document_create,
    document_delete,
    document_update,
)
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create


@pytest.fixture
def tenant(db: None) -> Tenant:
    """A standard tenant, gone with the test's transaction."""
    return tenant_create(name="acme", tier="standard")


@pytest.fixture
def lasting_tenant(transactional_db: None) -> Tenant:
    """A standard tenant that other connections see."""
    return tenant_create(name="acme", tier="standard")


def create(tenant: Tenant, content: str = "# A\n\nOne.\n\n# B\n\nTwo.", **fields: Any) -> Document:
    """A document of two passages."""
    return document_create(tenant=tenant, title="T", content=content, content_type="text/markdown", **fields)


def chunks() -> list[tuple[int, str, str]]:
    """Every chunk there is."""
    return list(Chunk.objects.order_by("id").values_list("ordinal", "heading", "text"))


def in_thread(threads: ThreadPoolExecutor, call: Callable[[], Any]) -> Future[Any]:
    """Runs `call` on a thread and a connection of its own."""

    def run() -> Any:
        try:
            return call()
        finally:
            connection.close()

    return threads.submit(run)


def test_a_document_is_stored_with_its_passages(tenant: Tenant) -> None:
    """In order, each with its heading."""
    create(tenant)
    assert chunks() == [(0, "A", "One."), (1, "B", "Two.")]


def test_new_content_replaces_all_passages(tenant: Tenant) -> None:
    """None of the old ones is left."""
    document = create(tenant)
    changed = document_update(document, {"content": "# C\n\nThree."})
    assert chunks() == [(0, "C", "Three.")]
    assert changed.updated_at > document.updated_at
    document_update(document, {"content_type": "text/plain"})
    assert chunks() == [(0, "", "# C\n\nThree.")]


def test_a_new_title_leaves_the_passages_alone(tenant: Tenant) -> None:
    """Not even their rows are written again."""
    document = create(tenant)
    before = set(Chunk.objects.values_list("pk", flat=True))
    document_update(document, {"title": "New", "metadata": {"a": 1}})
    assert set(Chunk.objects.values_list("pk", flat=True)) == before


def test_a_refused_change_changes_nothing(tenant: Tenant) -> None:
    """An external id that is taken takes the new content back with it."""
    create(tenant, external_id="taken")
    document = create(tenant)
    before = chunks()
    with pytest.raises(ExternalIdTaken):
        document_update(document, {"content": "New.", "external_id": "taken"})
    assert chunks() == before


def test_a_change_of_a_document_that_is_gone_says_so(tenant: Tenant) -> None:
    """It was deleted between reading and writing."""
    document = create(tenant)
    Document.objects.all().delete()
    with pytest.raises(DocumentGone):
        document_update(document, {"title": "New"})
    document_delete(document)


def test_of_two_changes_at_once_the_later_is_whole(lasting_tenant: Tenant) -> None:
    """The second waits for the first, and its passages replace those of the first."""
    document = create(lasting_tenant)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            document_update(document, {"content": "First."})
            second = in_thread(threads, lambda: document_update(document, {"content": "Second."}))
            wait_until_someone_waits_for_a_lock()
        second.result(timeout=10)
    assert chunks() == [(0, "", "Second.")]


def test_a_deletion_waits_for_a_change(lasting_tenant: Tenant) -> None:
    """What the change adds is deleted with the rest."""
    document = create(lasting_tenant)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            document_update(document, {"content": "# N\n\nNew.\n\n# M\n\nMore."})
            deletion = in_thread(threads, lambda: document_delete(document))
            wait_until_someone_waits_for_a_lock()
        deletion.result(timeout=10)
    assert (Document.objects.count(), Chunk.objects.count()) == (0, 0)


def test_a_change_that_waited_for_a_deletion_says_so(lasting_tenant: Tenant) -> None:
    """There is nothing left to change."""
    document = create(lasting_tenant)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            document_delete(document)
            change = in_thread(threads, lambda: document_update(document, {"content": "New."}))
            wait_until_someone_waits_for_a_lock()
        with pytest.raises(DocumentGone):
            change.result(timeout=10)
    assert (Document.objects.count(), Chunk.objects.count()) == (0, 0)


def test_of_many_with_one_external_id_one_is_stored(lasting_tenant: Tenant) -> None:
    """The others are told that it is taken."""
    together = threading.Barrier(8)

    def attempt() -> str:
        together.wait()
        try:
            create(lasting_tenant, external_id="same")
        except ExternalIdTaken:
            return "taken"
        return "stored"

    with ThreadPoolExecutor(8) as threads:
        outcomes = [future.result(timeout=20) for future in [in_thread(threads, attempt) for _ in range(8)]]
    assert sorted(outcomes) == ["stored"] + ["taken"] * 7
    assert (Document.objects.count(), Chunk.objects.count()) == (1, 2)


def wait_until_someone_waits_for_a_lock() -> None:
    """Returns once another connection of this database is blocked."""
    with connection.cursor() as cursor:
        for _ in range(1_000):
            cursor.execute("SELECT pg_sleep(0.005), count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[1]:
                return
    raise AssertionError("nobody waits")
