"""Documents and the chunks that retrieval finds."""

from __future__ import annotations

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models.functions import Now

from agentplatform.identifiers import uuid7
from apps.tenants.models import Tenant


class DocumentQuerySet(models.QuerySet["Document"]):
    def of(self, tenant: Tenant) -> DocumentQuerySet:
        """The documents of this tenant; nothing else may be shown to it."""
        return self.filter(tenant=tenant)


class Document(models.Model):
    """A text that a tenant uploaded. `external_id` is the tenant's own name for it."""

    class ContentType(models.TextChoices):
        MARKDOWN = "text/markdown"
        PLAIN = "text/plain"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="documents")
    external_id = models.CharField(max_length=500, null=True, blank=True)
    title = models.CharField(max_length=500)
    content = models.TextField()
    content_type = models.CharField(max_length=32, choices=ContentType.choices, default=ContentType.MARKDOWN)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = DocumentQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "external_id"], name="knowledge_document_external_id"),
        ]

    def __str__(self) -> str:
        return self.title


class Chunk(models.Model):
    """A passage of a document, under the heading it stands under, with its full-text vector."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="chunks")
    ordinal = models.PositiveIntegerField()
    heading = models.CharField(max_length=500, blank=True)
    text = models.TextField()
    search = models.GeneratedField(
        expression=SearchVector("heading", weight="A", config="english")
        + SearchVector("text", weight="B", config="english"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["document", "ordinal"], name="knowledge_chunk_ordinal"),
        ]
        indexes = [
            GinIndex(fields=["search"], name="knowledge_chunk_search"),
            models.Index(fields=["tenant"], name="knowledge_chunk_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.document_id}#{self.ordinal}"
