"""Documents, to read: tenants write them over the API."""

from __future__ import annotations

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from apps.console.display import json_block, text_block
from apps.console.pages import ReadOnlyAdmin
from apps.knowledge.models import Document


@admin.register(Document)
class DocumentAdmin(ReadOnlyAdmin):
    list_display = ("title", "tenant", "external_id", "content_type", "updated_at")
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
        "created_at",
        "updated_at",
        "id",
        "facts",
        "text",
    )

    @display(description="passages")
    def passages(self, document: Document) -> int:
        return document.chunks.count()

    @display(description="metadata")
    def facts(self, document: Document) -> str:
        return json_block(document.metadata)

    @display(description="content")
    def text(self, document: Document) -> str:
        return text_block(document.content)
