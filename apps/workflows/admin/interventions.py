"""Cancel, pause and resume runs: one from its page, several from the list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.decorators import action
from unfold.enums import ActionVariant

from apps.console.operations import Operation, is_confirmed, operation_page, selection
from apps.console.pages import ConsoleAdmin
from apps.workflows.models import Workflow
from apps.workflows.operations import VERBS, workflow_change


@dataclass(frozen=True, slots=True)
class Intervention:
    """Something that is done to runs, in words; `name` is the verb of apps.workflows.operations."""

    name: str
    past: str
    status: str
    explanation: str
    is_dangerous: bool = False

    @property
    def title(self) -> str:
        return self.name.capitalize()


CANCEL = Intervention(
    "cancel",
    "cancelled",
    "cancelled",
    "Its unfinished steps are cancelled and calls in flight are broken off; what they cost so far is paid. "
    "A cancelled workflow cannot be taken up again.",
    is_dangerous=True,
)
PAUSE = Intervention(
    "pause",
    "paused",
    "paused",
    "No further step starts until it is resumed. Steps that run end, and are paid for. Its deadline goes on counting.",
)
RESUME = Intervention(
    "resume",
    "resumed",
    "running",
    "It goes on where it stood, in fair order with all others.",
)


class InterventionsAdmin(ConsoleAdmin):
    """What may be done to runs on their pages, each time asked about first and logged."""

    actions = ("cancel_selected", "pause_selected", "resume_selected")
    actions_detail: tuple[str, ...] = ("cancel", "pause", "resume")

    def has_cancel_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "cancel_workflow")

    def has_pause_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "pause_workflow")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only what there is to do to a run in its status."""
        workflow = self.get_object(request, str(object_id))
        if workflow is None:
            return []
        unfitting = {name for name, verb in VERBS.items() if workflow.status not in verb.statuses}
        return [item for item in super().get_actions_detail(request, object_id) if item.path not in unfitting]

    @action(
        description="Cancel",
        url_path="cancel",
        permissions=["cancel"],
        icon="cancel",
        variant=ActionVariant.DANGER,
    )
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._on_page(request, object_id, CANCEL)

    @action(description="Pause", url_path="pause", permissions=["pause"], icon="pause_circle")
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._on_page(request, object_id, PAUSE)

    @action(
        description="Resume",
        url_path="resume",
        permissions=["pause"],
        icon="play_circle",
        variant=ActionVariant.SUCCESS,
    )
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._on_page(request, object_id, RESUME)

    @action(description="Cancel", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> HttpResponse:
        return self._on_list(request, queryset, CANCEL)

    @action(description="Pause", permissions=["pause"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> HttpResponse:
        return self._on_list(request, queryset, PAUSE)

    @action(description="Resume", permissions=["pause"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Workflow]) -> HttpResponse:
        return self._on_list(request, queryset, RESUME)

    def _on_page(self, request: HttpRequest, object_id: str, intervention: Intervention) -> HttpResponse:
        workflow = self.find(request, object_id)
        return self._intervene(request, [workflow], intervention, self.detail_url(workflow), [])

    def _on_list(
        self, request: HttpRequest, queryset: QuerySet[Workflow], intervention: Intervention
    ) -> HttpResponse:
        hidden = selection(request, queryset)
        return self._intervene(request, list(queryset), intervention, request.get_full_path(), hidden)

    def _intervene(
        self,
        request: HttpRequest,
        workflows: Sequence[Workflow],
        intervention: Intervention,
        back: str,
        hidden: Sequence[tuple[str, str]],
    ) -> HttpResponse:
        if is_confirmed(request):
            changed = sum(self._intervene_in(request, workflow, intervention) for workflow in workflows)
            others = len(workflows) - changed
            if changed:
                messages.success(request, f"{changed} {intervention.past}.")
            if others:
                messages.warning(
                    request,
                    f"{others} had ended already, were so before, or go on with another; nothing was changed.",
                )
            return HttpResponseRedirect(back)
        verb, is_one = intervention.title, len(workflows) == 1
        operation = Operation(
            title=f"{verb} this workflow?" if is_one else f"{verb} {len(workflows)} workflows?",
            explanation=intervention.explanation,
            submit=f"{verb} workflow" if is_one else f"{verb} workflows",
            back_url=back,
            objects=[f"{item.pk}, {item.definition.type} of {item.tenant.name}" for item in workflows],
            hidden=hidden,
            is_dangerous=intervention.is_dangerous,
        )
        return operation_page(self, request, operation)

    def _intervene_in(self, request: HttpRequest, workflow: Workflow, intervention: Intervention) -> bool:
        # Not in a transaction with the log: its wake-ups must come after its commit.
        if not workflow_change(intervention.name, workflow.pk):
            return False
        past = intervention.past.capitalize()
        self.record(request, workflow, f"{past}: status {workflow.status} → {intervention.status}")
        return True
