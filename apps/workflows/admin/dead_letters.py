"""Dead letters, their groups, and what operators have done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from apps.console.display import (
    NOTHING,
    code,
    json_block,
    label,
    link,
    moment,
    status_label,
    text_block,
)
from apps.console.filters import IdDayFilter
from apps.console.operations import selection
from apps.console.pages import ReadOnlyAdmin
from apps.console.tables import Table
from apps.workflows.admin.letter_operations import LetterOperationsAdmin
from apps.workflows.admin.step_tables import ATTEMPT_HEADERS, attempt_cells
from apps.workflows.dead_letter_selectors import (
    dead_letter_attempts,
    dead_letter_groups,
    dead_letter_payload,
)
from apps.workflows.letters import DeadLetter, DeadLetterGroup, OperatorAction

STATUSES = {"open": "danger", "requeued": "info", "discarded": ""}
REASONS = {"poison": "danger", "permanent": "warning", "exhausted": "warning", "out_of_time": ""}


@admin.register(DeadLetter)
class DeadLetterAdmin(LetterOperationsAdmin):
    """Steps that gave up, newest first. The search takes ids, a fingerprint, an error code or an agent, whole."""

    list_display = ("created_at", "what", "tenant", "error_code", "agent", "why", "state", "of_group")
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("reason", ChoicesDropdownFilter),
        ("tenant", AutocompleteSelectFilter),
        ("created_at", IdDayFilter),
    )
    list_select_related = ("tenant",)
    search_fields = ("=fingerprint", "=error_code", "=agent", "=type")
    id_fields = ("pk", "workflow_id", "step_id")
    search_help_text = "Id of a letter, workflow or step; fingerprint, error code, agent or type"
    ordering = ("-id",)
    sortable_by = ()
    actions = ("requeue_selected", "discard_selected")
    actions_detail = ("requeue", "discard")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "what",
                    "tenant",
                    "run",
                    "state",
                    "why",
                    "agent",
                    "queue",
                    "error_code",
                    "error_class",
                    "message",
                    "of_group",
                    "created_at",
                )
            },
        ),
        ("What was done", {"fields": ("resolved_at", "resolution", "done_by")}),
        ("What the step is given", {"fields": ("payload",)}),
    )

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup in ("fingerprint", "fingerprint__exact") or super().lookup_allowed(
            lookup, value, request
        )

    def detail_tables(self, request: HttpRequest, obj: DeadLetter) -> Sequence[Table]:
        rows = [attempt_cells(attempt) for attempt in dead_letter_attempts(obj)]
        return [Table("Attempts", ATTEMPT_HEADERS, rows)]

    @display(description="step")
    def what(self, letter: DeadLetter) -> str:
        return code(f"{letter.type}.{letter.key}")

    @display(description="workflow")
    def run(self, letter: DeadLetter) -> str:
        return link(str(letter.workflow_id), "workflows_workflow_change", letter.workflow_id)

    @display(description="status")
    def state(self, letter: DeadLetter) -> str:
        return status_label(letter.status, STATUSES)

    @display(description="reason")
    def why(self, letter: DeadLetter) -> str:
        return status_label(letter.reason, REASONS)

    @display(description="message")
    def message(self, letter: DeadLetter) -> str:
        return text_block(letter.error_message)

    @display(description="fingerprint")
    def of_group(self, letter: DeadLetter) -> str:
        return format_html(
            '<a class="console-link" href="{}">{}</a>',
            letters_url(letter.fingerprint),
            letter.fingerprint[:12],
        )

    @display(description="operation")
    def done_by(self, letter: DeadLetter) -> str:
        operation = letter.operation
        return (
            NOTHING
            if operation is None
            else link(str(operation), "workflows_operatoraction_change", operation.pk)
        )

    @display(description="payload")
    def payload(self, letter: DeadLetter) -> str:
        return json_block(dead_letter_payload(letter))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """A letter that is not open is closed for good."""
        letter = self.get_object(request, str(object_id))
        if letter is None or letter.status != DeadLetter.Status.OPEN:
            return []
        return list(super().get_actions_detail(request, object_id))

    @action(
        description="Requeue",
        url_path="requeue",
        permissions=["requeue"],
        icon="replay",
        variant=ActionVariant.PRIMARY,
    )
    def requeue(self, request: HttpRequest, object_id: str) -> HttpResponse:
        letter = self.find(request, object_id)
        letters = DeadLetter.objects.filter(pk=letter.pk)
        return self.ask_requeue(request, letters, [letter], self.detail_url(letter), [])

    @action(
        description="Discard",
        url_path="discard",
        permissions=["discard"],
        icon="delete",
        variant=ActionVariant.DANGER,
    )
    def discard(self, request: HttpRequest, object_id: str) -> HttpResponse:
        letter = self.find(request, object_id)
        letters = DeadLetter.objects.filter(pk=letter.pk)
        return self.ask_discard(request, letters, [letter], self.detail_url(letter), [])

    @action(description="Requeue", permissions=["requeue"])
    def requeue_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> HttpResponse:
        hidden = selection(request, queryset)
        return self.ask_requeue(request, queryset, list(queryset), request.get_full_path(), hidden)

    @action(description="Discard", permissions=["discard"])
    def discard_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> HttpResponse:
        hidden = selection(request, queryset)
        return self.ask_discard(request, queryset, list(queryset), request.get_full_path(), hidden)


@admin.register(DeadLetterGroup)
class DeadLetterGroupAdmin(LetterOperationsAdmin):
    """Dead letters by fingerprint: a line for each kind of failure, that seen last first."""

    list_display = (
        "error_code",
        "agent",
        "short_class",
        "open",
        "letters",
        "first_seen_at",
        "last_seen_at",
        "told",
    )
    search_fields = ("=fingerprint", "error_code", "agent")
    ordering = ("-last_seen_at",)
    sortable_by = ("last_seen_at", "first_seen_at", "letters")
    actions = ("requeue_selected", "discard_selected")
    fields = (
        "fingerprint",
        "error_code",
        "error_class",
        "message",
        "agent",
        "open",
        "letters",
        "first_seen_at",
        "last_seen_at",
        "notified_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetterGroup]:
        return dead_letter_groups()

    @display(description="class")
    def short_class(self, group: DeadLetterGroup) -> str:
        return group.error_class.rpartition(".")[2] or NOTHING

    @display(description="message of the latest")
    def message(self, group: DeadLetterGroup) -> str:
        return text_block(group.error_message)

    @display(description="open")
    def open(self, group: Any) -> str:
        count = label(f"{group.open_letters:,}", "danger" if group.open_letters else "")
        url = letters_url(group.pk) + "&status__exact=open"
        return format_html('<a class="console-link" href="{}">{}</a>', url, count)

    @display(description="told of", ordering="notified_at")
    def told(self, group: DeadLetterGroup) -> str:
        return moment(group.notified_at)

    @action(description="Requeue open letters", permissions=["requeue"])
    def requeue_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetterGroup]) -> HttpResponse:
        hidden = selection(request, queryset)
        return self.ask_requeue(
            request, _letters_of(queryset), list(queryset), request.get_full_path(), hidden
        )

    @action(description="Discard open letters", permissions=["discard"])
    def discard_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetterGroup]) -> HttpResponse:
        hidden = selection(request, queryset)
        return self.ask_discard(
            request, _letters_of(queryset), list(queryset), request.get_full_path(), hidden
        )


@admin.register(OperatorAction)
class OperatorActionAdmin(ReadOnlyAdmin):
    """What was done to letters and, with operators' keys, to workflows; people's other deeds are in the audit log."""

    list_display = ("created_at", "name", "actor", "affected")
    search_fields = ("=name", "actor")
    id_fields = ("pk",)
    ordering = ("-id",)
    sortable_by = ()
    fields = ("created_at", "name", "actor", "affected", "detail_document", "id")

    @display(description="details")
    def detail_document(self, operation: OperatorAction) -> str:
        return json_block(operation.details)


def letters_url(fingerprint: str) -> str:
    """The list of the letters of a fingerprint."""
    return f"{reverse('admin:workflows_deadletter_changelist')}?fingerprint__exact={fingerprint}"


def _letters_of(groups: QuerySet[DeadLetterGroup]) -> QuerySet[DeadLetter]:
    return DeadLetter.objects.filter(fingerprint__in=list(groups.values_list("pk", flat=True)))
