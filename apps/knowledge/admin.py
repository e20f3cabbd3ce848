"""Knowledge bases and documents, to read: tenants write them over the API. Operators have vectors made anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import action, display

from agentplatform.embedding.vectors import MODEL_NAME
from apps.console.display import json_block, label, text_block
from apps.console.operations import Operation, is_confirmed, operation_page, selection
from apps.console.pages import ReadOnlyAdmin
from apps.knowledge.models import Document, KnowledgeBase
from apps.knowledge.selectors import knowledge_state, passage_counts
from apps.knowledge.services import documents_embed_anew

EMBEDDING_ANEW = (
    "All their vectors are deleted and made anew in the background. Until a passage has its new one, it is found by "
    "full text alone."
)


@admin.register(KnowledgeBase)
class KnowledgeBaseAdmin(ReadOnlyAdmin):
    """What each tenant's knowledge base holds, and how far its vectors are."""

    list_display = ("tenant", "version", "documents", "passage_count", "embedded", "changed_at")
    list_select_related = ("tenant",)
    search_fields = ("tenant__name",)
    search_help_text = "Tenant"
    ordering = ("tenant__name",)
    sortable_by = ("tenant", "version", "changed_at")
    actions = ("embed_anew",)
    fields = ("tenant", "version", "documents", "passage_count", "embedded", "model", "changed_at")

    def complete_rows(self, rows: Sequence[Any]) -> None:
        for base in rows:
            base.state = knowledge_state(base.tenant)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        base = super().get_object(request, object_id, from_field)
        if base is not None:
            self.complete_rows([base])
        return base

    @display(description="documents")
    def documents(self, base: Any) -> str:
        return f"{base.state.documents:,}"

    @display(description="passages")
    def passage_count(self, base: Any) -> str:
        return f"{base.state.passages:,}"

    @display(description="with vectors")
    def embedded(self, base: Any) -> str:
        return embedded_label(base.state.embedded_passages, base.state.passages)

    @display(description="embedding model")
    def model(self, base: Any) -> str:
        return str(base.state.embedding_model)

    def has_embed_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "embed_knowledgebase")

    @action(description="Make vectors anew", permissions=["embed"])
    def embed_anew(self, request: HttpRequest, queryset: QuerySet[KnowledgeBase]) -> HttpResponse:
        bases = list(queryset.select_related("tenant"))
        if not is_confirmed(request):
            operation = Operation(
                title="Make vectors anew",
                explanation=EMBEDDING_ANEW,
                submit="Make vectors anew",
                back_url=self.list_url,
                objects=[base.tenant.name for base in bases],
                hidden=selection(request, queryset),
            )
            return operation_page(self, request, operation)
        for base in bases:
            count = documents_embed_anew(Document.objects.of(base.tenant))
            self.record(request, base, f"Had the vectors of {count} documents made anew.")
        messages.success(
            request, f"The vectors of {len(bases)} knowledge bases are made anew in the background."
        )
        return HttpResponseRedirect(self.list_url)


def embedded_label(embedded: int, passages: int) -> str:
    """How many of the passages have their vectors."""
    if embedded >= passages:
        return label("all", "success")
    return label(f"{embedded:,} of {passages:,}", "warning")


@admin.register(Document)
class DocumentAdmin(ReadOnlyAdmin):
    list_display = ("title", "tenant", "external_id", "content_type", "vectors", "updated_at")
    list_filter = (("tenant", AutocompleteSelectFilter), ("content_type", ChoicesDropdownFilter))
    list_select_related = ("tenant",)
    search_fields = ("title",)
    list_defers = ("content", "metadata")
    id_fields = ("pk",)
    search_help_text = "Title, or the id"
    ordering = ("-id",)
    fields = (
        "title",
        "tenant",
        "external_id",
        "content_type",
        "passages",
        "embedded",
        "created_at",
        "updated_at",
        "id",
        "facts",
        "text",
    )

    @display(description="vectors")
    def vectors(self, document: Document) -> str:
        done = document.embedding_model == MODEL_NAME
        return label("all", "success") if done else label("being made", "warning")

    @display(description="passages")
    def passages(self, document: Document) -> int:
        return passage_counts(document)[0]

    @display(description="with vectors")
    def embedded(self, document: Document) -> str:
        passages, embedded = passage_counts(document)
        return embedded_label(embedded, passages)

    @display(description="metadata")
    def facts(self, document: Document) -> str:
        return json_block(document.metadata)

    @display(description="content")
    def text(self, document: Document) -> str:
        return text_block(document.content)
