"""Documents, the chunks that retrieval finds, and their vectors."""

from __future__ import annotations

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models.functions import Now
from pgvector.django import HalfVectorField, HnswIndex

from agentplatform.embedding.vectors import DIMENSIONS
from agentplatform.identifiers import uuid7
from apps.knowledge.session_models import Session, Turn
from apps.tenants.models import Tenant

__all__ = ["Chunk", "Document", "Embedding", "KnowledgeBase", "Session", "Turn"]


class KnowledgeBase(models.Model):
    """What a tenant knows, as a whole. `version` grows with every change of a title or a content.

    `passages` decides how vectors are searched; it is counted along, not counted.
    """

    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, primary_key=True, related_name="+")
    version = models.PositiveBigIntegerField(default=0)
    passages = models.IntegerField(default=0)
    changed_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        permissions = [("embed_knowledgebase", "Can have its vectors made anew")]

    def __str__(self) -> str:
        return f"knowledge base of {self.tenant_id}"


class DocumentQuerySet(models.QuerySet["Document"]):
    def of(self, tenant: Tenant) -> DocumentQuerySet:
        """The documents of this tenant; nothing else may be shown to it."""
        return self.filter(tenant=tenant)


class Document(models.Model):
    """A text that a tenant uploaded. `external_id` is the tenant's own name for it.

    Of a PDF, `content` is the text of its pages, parted by form feeds.
    """

    class ContentType(models.TextChoices):
        MARKDOWN = "text/markdown"
        PLAIN = "text/plain"
        PDF = "application/pdf"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="documents")
    external_id = models.CharField(max_length=500, null=True, blank=True)
    title = models.CharField(max_length=500)
    content = models.TextField()
    content_type = models.CharField(max_length=32, choices=ContentType.choices, default=ContentType.MARKDOWN)
    metadata = models.JSONField(default=dict, blank=True)
    embedding_model = models.CharField(max_length=64, blank=True, db_default="", default="", editable=False)
    """The model by which all of its passages have their vectors; "" while some have none."""
    embedding_lease_until = models.DateTimeField(null=True, editable=False)
    """Until when a process has it to itself to embed it."""
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = DocumentQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "external_id"], name="knowledge_document_external_id"),
        ]
        indexes = [
            models.Index(fields=["embedding_model", "tenant", "id"], name="knowledge_document_embedding"),
        ]

    def __str__(self) -> str:
        return self.title


class Chunk(models.Model):
    """A passage of a document, under the heading it stands under, with its full-text vector.

    `title` is the document's, because a generated column sees only its own row.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="chunks")
    ordinal = models.PositiveIntegerField()
    title = models.CharField(max_length=500, blank=True, db_default="", default="")
    heading = models.CharField(max_length=500, blank=True)
    text = models.TextField()
    search = models.GeneratedField(
        expression=SearchVector("title", weight="A", config="english")
        + SearchVector("heading", weight="A", config="english")
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


class Embedding(models.Model):
    """A passage's vector. A table of its own keeps its rows narrow: a small tenant's are read one by one."""

    chunk = models.OneToOneField(Chunk, on_delete=models.CASCADE, primary_key=True, related_name="embedding")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", db_index=False)
    model = models.CharField(max_length=64)
    vector = HalfVectorField(dimensions=DIMENSIONS)

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "model"], name="knowledge_embedding_tenant"),
            HnswIndex(
                fields=["vector"],
                m=16,
                ef_construction=64,
                opclasses=["halfvec_ip_ops"],
                name="knowledge_embedding_hnsw",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.chunk_id} by {self.model}"
