"""Sessions: who has them, how large they are, and for those who may, what was said in them; and forgetting them.

It is here because a lower room knows nothing of the runs that are emptied with a session.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from apps.console.display import NOTHING, label, link, text_block
from apps.console.filters import DayFilter
from apps.console.operations import Operation, is_confirmed, operation_page, selection
from apps.console.pages import ReadOnlyAdmin
from apps.console.reading import WITHHELD, reading_rule
from apps.console.tables import Table
from apps.knowledge.models import Session
from apps.knowledge.session_selectors import session_sizes
from apps.workflows.models import Workflow
from apps.workflows.operations import Actor
from apps.workflows.session_forgetting import session_forget

SHOWN_TURNS = 100
FORGETTING = (
    "Its turns, their vectors and its summary are deleted, its runs that have not ended are cancelled, and inputs, "
    "outputs and results are taken out of all its runs. That they ran, and what they cost, stays. It cannot be undone."
)


@reading_rule
def of_sessions(request: HttpRequest, workflow_ids: Collection[uuid.UUID]) -> Iterable[uuid.UUID]:
    """What runs in sessions were told and have answered is read by those who may read sessions."""
    if request.user.has_perm("knowledge.read_session"):
        return ()
    return Workflow.objects.filter(pk__in=workflow_ids, session__isnull=False).values_list("pk", flat=True)


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin):
    """Lists show no word of what was said. Sessions that are forgotten are gone from here at once."""

    list_display = ("external_id", "tenant", "turns", "tokens", "summarised", "last_used_at", "expires")
    list_filter = (("tenant", AutocompleteSelectFilter), ("last_used_at", DayFilter))
    list_select_related = ("tenant",)
    list_defers = ("summary",)
    search_fields = ("external_id",)
    id_fields = ("pk",)
    search_help_text = "The tenant's id of it, or the id"
    sortable_by = ()
    actions = ("forget_selected",)
    actions_detail = ("forget",)
    fields = (
        "external_id",
        "tenant",
        "turns",
        "tokens",
        "summarised",
        "whole_summary",
        "created_at",
        "last_used_at",
        "expires",
        "id",
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).filter(forgotten_at=None)

    def complete_rows(self, rows: Sequence[Any]) -> None:
        sizes = session_sizes([session.pk for session in rows])
        for session in rows:
            session.size = sizes.get(session.pk)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        session = super().get_object(request, object_id, from_field)
        if session is not None:
            self.complete_rows([session])
            session.is_readable = self.may(request, "read_session")
        return session

    @display(description="turns")
    def turns(self, session: Any) -> str:
        return f"{session.size.turns:,}"

    @display(description="tokens")
    def tokens(self, session: Any) -> str:
        return f"{session.size.tokens:,}"

    @display(description="summarised")
    def summarised(self, session: Any) -> str:
        if session.summary_due_at is not None:
            return label("due", "info")
        count = session.size.summarised_turns
        return f"{count:,} turns" if session.summary_until else NOTHING

    @display(description="expires")
    def expires(self, session: Any) -> Any:
        return session.size.expires_at

    @display(description="summary")
    def whole_summary(self, session: Any) -> str:
        if not session.is_readable:
            return WITHHELD
        return text_block(session.summary) if session.summary else NOTHING

    def detail_tables(self, request: HttpRequest, obj: Any) -> Sequence[Table]:
        headers = ("turn", "who", "text", "run", "at")
        if not obj.is_readable:
            return [Table("Turns", headers, [], WITHHELD)]
        turns = list(obj.turns.defer("vector").order_by("-ordinal")[: SHOWN_TURNS + 1])
        rows = [
            (
                turn.ordinal,
                turn.role,
                text_block(turn.text),
                link(str(turn.workflow_id)[:18] + "…", "workflows_workflow_change", turn.workflow_id),
                turn.created_at,
            )
            for turn in turns[:SHOWN_TURNS]
        ]
        return [Table("Turns", headers, rows, f"The last {SHOWN_TURNS}." if len(turns) > SHOWN_TURNS else "")]

    def has_forget_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "forget_session")

    @action(description="Forget", permissions=["forget"])
    def forget_selected(self, request: HttpRequest, queryset: QuerySet[Session]) -> HttpResponse:
        sessions = list(queryset.select_related("tenant"))
        return self._forget(request, sessions, request.get_full_path(), selection(request, queryset))

    @action(
        description="Forget",
        url_path="forget",
        permissions=["forget"],
        icon="delete_forever",
        variant=ActionVariant.DANGER,
    )
    def forget(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._forget(request, [self.find(request, object_id)], self.list_url, [])

    def _forget(
        self, request: HttpRequest, sessions: list[Session], back: str, hidden: list[tuple[str, str]]
    ) -> HttpResponse:
        if is_confirmed(request):
            for session in sessions:
                session_forget(session, actor=Actor(user=request.user))  # type: ignore[arg-type]
                session.external_id = str(session.pk)  # the log outlives what is forgotten, its name included
                self.record(request, session, "Forgot the session and what was said in it")
            messages.success(request, f"Forgotten: {len(sessions)} sessions.")
            return HttpResponseRedirect(back)
        shown = [f"{session.external_id} of {session.tenant.name}" for session in sessions]
        operation = Operation(
            "Forget what was said?", FORGETTING, "Forget", back, None, shown, hidden, is_dangerous=True
        )
        return operation_page(self, request, operation)
