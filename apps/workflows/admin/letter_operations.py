"""Requeueing and discarding dead letters in the admin: asked about first, changes of an input shown, logged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from apps.console.operations import Operation, confirmed_data, is_confirmed, operation_page
from apps.console.pages import ReadOnlyAdmin
from apps.tenants.models import User
from apps.workflows.admin.dead_letter_forms import DiscardForm, RequeueForm
from apps.workflows.dead_letters import (
    RequeueReport,
    SeveralTenants,
    dead_letters_discard,
    dead_letters_requeue,
)
from apps.workflows.letters import DeadLetter
from apps.workflows.models import Workflow
from apps.workflows.operations import Actor
from apps.workflows.submissions import InvalidSubmission

REQUEUEING = (
    "Each workflow goes on from this step: what earlier steps have made and paid for is kept, what was made without "
    "this step is made again. It gets a new deadline, and its costs add up."
)
DISCARDING = "The letters are closed for good. Their workflows stay as they ended."
NAMED = 20
"""So many letters are named on the page that asks; of the others, how many there are."""

REVIEWED = "reviewed"


class LetterOperationsAdmin(ReadOnlyAdmin):
    """The operations on letters, for the pages of letters and of groups."""

    def has_requeue_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "requeue_deadletter")

    def has_discard_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "discard_deadletter")

    def ask_requeue(
        self,
        request: HttpRequest,
        letters: QuerySet[DeadLetter],
        logged: Iterable[Model],
        back: str,
        hidden: Sequence[tuple[str, str]],
    ) -> HttpResponse:
        letters = letters.filter(status=DeadLetter.Status.OPEN)
        form = RequeueForm(confirmed_data(request), workflow_input=_input_of(letters))
        changes: list[str] = []
        if is_confirmed(request) and form.is_valid():
            done, changes = self._requeue(request, letters, form)
            if done is not None:
                self._tell(request, done, logged, changes)
                return HttpResponseRedirect(back)
        if changes:
            hidden = [*hidden, (REVIEWED, form.digest)]
        operation = Operation(
            title="Requeue with these changes of the input?" if changes else "Requeue?",
            explanation=REQUEUEING,
            submit="Requeue",
            back_url=back,
            form=form,
            objects=changes or _named(letters),
            hidden=hidden,
        )
        return operation_page(self, request, operation)

    def _requeue(
        self, request: HttpRequest, letters: QuerySet[DeadLetter], form: RequeueForm
    ) -> tuple[RequeueReport | None, list[str]]:
        """What was done, and the changes of the input; nothing is done before a person has seen those."""
        assert isinstance(request.user, User)
        edited = form.edited_input is not None
        is_seen = not edited or request.POST.get(REVIEWED) == form.digest
        try:
            report = dead_letters_requeue(
                Actor(user=request.user),
                letters,
                form.options,
                asked={"letters": [str(pk) for pk in letters.values_list("pk", flat=True)[:1_000]]},
                dry_run=not is_seen,
            )
        except InvalidSubmission as error:
            for path, detail in error.errors:
                form.add_error("input", f"{'/'.join(str(part) for part in path)}: {detail}")
            return None, []
        except SeveralTenants as error:
            form.add_error(None, str(error))
            return None, []
        changes = [_told(change) for told in report.input_changes.values() for change in told]
        return (report if is_seen else None), changes

    def _tell(
        self, request: HttpRequest, report: RequeueReport, logged: Iterable[Model], changes: Sequence[str]
    ) -> None:
        if report.requeued:
            messages.success(request, f"{report.requeued} requeued.")
            edits = f"; input: {'; '.join(changes)}" if changes else ""
            for obj in logged:
                self.record(
                    request,
                    obj,
                    f"Requeued: {report.requeued} letters, operation {report.operation_id}{edits}",
                )
        for refusal in report.refused[:NAMED]:
            messages.warning(request, f"{refusal.letter_id}: {refusal.detail}")
        if not report.matched:
            messages.warning(request, "No letter was open any more; nothing was changed.")
        if report.has_more:
            messages.warning(request, "There are more letters; requeue again for the others.")

    def ask_discard(
        self,
        request: HttpRequest,
        letters: QuerySet[DeadLetter],
        logged: Iterable[Model],
        back: str,
        hidden: Sequence[tuple[str, str]],
    ) -> HttpResponse:
        letters = letters.filter(status=DeadLetter.Status.OPEN)
        form = DiscardForm(confirmed_data(request))
        if is_confirmed(request) and form.is_valid():
            assert isinstance(request.user, User)
            reason = form.cleaned_data["reason"]
            action = dead_letters_discard(Actor(user=request.user), letters, reason=reason, asked={})
            messages.success(request, f"{action.affected} discarded.")
            if action.affected:
                for obj in logged:
                    self.record(request, obj, f"Discarded: {action.affected} letters, reason '{reason}'")
            return HttpResponseRedirect(back)
        operation = Operation(
            "Discard?", DISCARDING, "Discard", back, form, _named(letters), hidden, is_dangerous=True
        )
        return operation_page(self, request, operation)


def _input_of(letters: QuerySet[DeadLetter]) -> dict[str, Any] | None:
    """The input of their one workflow; None where there are several."""
    ids = list(letters.order_by().values_list("workflow_id", flat=True).distinct()[:2])
    return Workflow.objects.values_list("input", flat=True).get(pk=ids[0]) if len(ids) == 1 else None


def _named(letters: QuerySet[DeadLetter]) -> list[str]:
    shown = [
        f"{letter.pk}, {letter} of {letter.tenant.name}"
        for letter in letters.select_related("tenant")[:NAMED]
    ]
    others = letters.count() - len(shown)
    return [*shown, f"and {others:,} more"] if others > 0 else shown


def _told(change: dict[str, Any]) -> str:
    before, after = (
        json.dumps(change[side], ensure_ascii=False) if side in change else "nothing"
        for side in ("before", "after")
    )
    return f"{change['pointer'] or '/'}: {before} → {after}"
