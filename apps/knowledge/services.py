"""Writes to a tenant's knowledge base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from agentplatform.retrieval.chunking import chunk_document
from apps.knowledge.models import Chunk, Document
from apps.tenants.models import Tenant


class ExternalIdTaken(ValueError):
    """Another document of the tenant has this external id."""


class DocumentGone(LookupError):
    """The document was deleted meanwhile."""


def document_create(*, tenant: Tenant, **fields: Any) -> Document:
    """Stores a document and its chunks. Raises ExternalIdTaken."""
    try:
        with transaction.atomic():
            document = Document.objects.create(tenant=tenant, **fields)
            _store_chunks(document)
            document.refresh_from_db()
    except IntegrityError as error:
        raise _external_id_taken(fields) from error
    return document


def document_update(document: Document, fields: Mapping[str, Any]) -> Document:
    """Changes a document; its chunks are made anew in the same transaction.

    Raises DocumentGone or ExternalIdTaken.
    """
    try:
        with transaction.atomic():
            # The lock orders two updates of one document: the chunks are those of the later one.
            locked = Document.objects.select_for_update(no_key=True).filter(pk=document.pk).first()
            if locked is None:
                raise DocumentGone("the document has been deleted meanwhile; create it anew")
            for name, value in fields.items():
                setattr(locked, name, value)
            locked.updated_at = Now()
            locked.save(update_fields=[*fields, "updated_at"])
            if "content" in fields or "content_type" in fields:
                locked.chunks.all().delete()
                _store_chunks(locked)
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
            locked.delete()


def _store_chunks(document: Document) -> None:
    chunks = chunk_document(
        document.content, is_markdown=document.content_type == Document.ContentType.MARKDOWN
    )
    Chunk.objects.bulk_create(
        [
            Chunk(
                tenant_id=document.tenant_id,
                document=document,
                ordinal=ordinal,
                heading=chunk.heading,
                text=chunk.text,
            )
            for ordinal, chunk in enumerate(chunks)
        ],
        batch_size=500,
    )


def _external_id_taken(fields: Mapping[str, Any]) -> ExternalIdTaken:
    return ExternalIdTaken(
        f"a document with external_id '{fields.get('external_id')}' exists already; "
        "find it with GET documents/?external_id=… and update it"
    )
