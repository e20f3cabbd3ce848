"""Writes to a tenant's knowledge base."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from agentplatform.retrieval.chunking import chunk_document
from apps.knowledge.hints import send_embedding_hint
from apps.knowledge.models import Chunk, Document, Embedding
from apps.tenants.models import Tenant

_CHANGE_KNOWLEDGE = """
    INSERT INTO knowledge_knowledgebase AS k (tenant_id, version, passages) VALUES (%s, 1, %s)
    ON CONFLICT (tenant_id) DO UPDATE
    SET version = k.version + 1, passages = k.passages + EXCLUDED.passages, changed_at = now()
"""


class ExternalIdTaken(ValueError):
    """Another document of the tenant has this external id."""


class DocumentGone(LookupError):
    """The document was deleted meanwhile."""


def document_create(*, tenant: Tenant, **fields: Any) -> Document:
    """Stores a document and its chunks. Raises ExternalIdTaken."""
    try:
        with transaction.atomic():
            document = Document.objects.create(tenant=tenant, **fields)
            _knowledge_changed(document.tenant_id, passages=_store_chunks(document))
            document.refresh_from_db()
    except IntegrityError as error:
        raise _external_id_taken(fields) from error
    return document


def document_update(document: Document, fields: Mapping[str, Any]) -> Document:
    """Changes a document; its chunks are made anew in the same transaction. Vectors follow in the background.

    Raises DocumentGone or ExternalIdTaken.
    """
    try:
        with transaction.atomic():
            # The lock orders two updates of one document: the chunks are those of the later one.
            locked = Document.objects.select_for_update(no_key=True).filter(pk=document.pk).first()
            if locked is None:
                raise DocumentGone("the document has been deleted meanwhile; create it anew")
            if "content" in fields and locked.content_type == Document.ContentType.PDF:
                # Its pages are gone, unless these are those of another PDF.
                fields = {"content_type": Document.ContentType.PLAIN, **fields}
            changed = {name for name, value in fields.items() if getattr(locked, name) != value}
            if changed & {"content", "content_type", "title"}:
                fields = {**fields, "embedding_model": "", "embedding_lease_until": None}
            for name, value in fields.items():
                setattr(locked, name, value)
            locked.updated_at = Now()
            locked.save(update_fields=[*fields, "updated_at"])
            if changed & {"content", "content_type"}:
                _replace_chunks(locked)
            elif "title" in changed:
                _retitle_chunks(locked)
            locked.refresh_from_db()
    except IntegrityError as error:
        raise _external_id_taken(fields) from error
    return locked


def document_delete(document: Document) -> None:
    """Deletes a document and its chunks; one that is gone already stays so."""
    with transaction.atomic():
        # An update under way ends first, so that the chunks it adds are deleted too.
        locked = Document.objects.select_for_update().filter(pk=document.pk).first()
        if locked is not None:
            passages = locked.chunks.count()
            locked.delete()
            _knowledge_changed(document.tenant_id, passages=-passages)


def documents_embed_anew(documents: QuerySet[Document]) -> int:
    """Has the vectors of these documents made anew, in the background; returns how many documents."""
    with transaction.atomic():
        Embedding.objects.filter(chunk__document__in=documents.values("pk")).delete()
        count = documents.update(embedding_model="", embedding_lease_until=None)
        transaction.on_commit(send_embedding_hint)
    return count


def _replace_chunks(document: Document) -> None:
    before = document.chunks.count()
    document.chunks.all().delete()
    _knowledge_changed(document.tenant_id, passages=_store_chunks(document) - before)


def _retitle_chunks(document: Document) -> None:
    document.chunks.update(title=document.title)
    Embedding.objects.filter(chunk__document=document).delete()
    _knowledge_changed(document.tenant_id, passages=0)


def _store_chunks(document: Document) -> int:
    chunks = chunk_document(document.content, document.content_type)
    Chunk.objects.bulk_create(
        [
            Chunk(
                tenant_id=document.tenant_id,
                document=document,
                ordinal=ordinal,
                title=document.title,
                heading=chunk.heading,
                text=chunk.text,
            )
            for ordinal, chunk in enumerate(chunks)
        ],
        batch_size=500,
    )
    return len(chunks)


def _knowledge_changed(tenant_id: uuid.UUID, *, passages: int) -> None:
    """Counts the tenant's version on; its row is locked until the transaction ends, so this comes last."""
    with connection.cursor() as cursor:
        cursor.execute(_CHANGE_KNOWLEDGE, [tenant_id, passages])
    transaction.on_commit(send_embedding_hint)


def _external_id_taken(fields: Mapping[str, Any]) -> ExternalIdTaken:
    return ExternalIdTaken(
        f"a document with external_id '{fields.get('external_id')}' exists already; "
        "find it with GET documents/?external_id=… and update it"
    )
