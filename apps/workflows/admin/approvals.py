"""Approving and rejecting steps that wait for it, from their pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from apps.console.display import link, moment
from apps.console.operations import Operation, confirmed_data, operation_page
from apps.console.pages import ConsoleAdmin, ReadOnlyAdmin
from apps.workflows.models import AwaitedApproval, Step
from apps.workflows.services import AlreadyFinished
from apps.workflows.signals import AlreadyAnswered, NotWaiting, step_answer


class AnswerForm(forms.Form):
    """What goes with an answer."""

    comment = forms.CharField(
        required=False,
        max_length=2_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Kept with the answer, and handed to the steps that come after.",
    )


class ApprovalsAdmin(ConsoleAdmin):
    """The two answers, on the page of a step that waits for one."""

    actions_detail: tuple[str, ...] = ("approve", "reject")

    def has_approve_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "approve_step")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Only where somebody is asked."""
        step = self.get_object(request, str(object_id))
        if step is None or step.waiting_for != "approval":
            return []
        return list(super().get_actions_detail(request, object_id))

    @action(
        description="Approve",
        url_path="approve",
        permissions=["approve"],
        icon="check_circle",
        variant=ActionVariant.SUCCESS,
    )
    def approve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._answer(request, self.find(request, object_id), approved=True)

    @action(
        description="Reject",
        url_path="reject",
        permissions=["approve"],
        icon="cancel",
        variant=ActionVariant.DANGER,
    )
    def reject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._answer(request, self.find(request, object_id), approved=False)

    def _answer(self, request: HttpRequest, step: Step, *, approved: bool) -> HttpResponse:
        verb = "Approve" if approved else "Reject"
        form = AnswerForm(confirmed_data(request))
        if not form.is_valid():
            title = step.options.get("approval", {}).get("title", step.key)
            operation = Operation(
                title=f"{verb} this step?",
                explanation=f"Asked: {title} The first answer counts; it cannot be taken back.",
                submit=f"{verb} step",
                back_url=self.detail_url(step),
                form=form,
                objects=[f"{step.key} of workflow {step.workflow_id}, {step.tenant.name}"],
                is_dangerous=not approved,
            )
            return operation_page(self, request, operation)
        comment = form.cleaned_data["comment"]
        try:
            step_answer(
                step.workflow_id,
                key=step.key,
                approved=approved,
                comment=comment,
                sender=f"user {request.user}",
            )
        except (AlreadyAnswered, AlreadyFinished, NotWaiting) as error:
            messages.warning(request, f"Nothing was changed: {error}.")
        else:
            past = "Approved" if approved else "Rejected"
            self.record(request, step, past)
            messages.success(request, f"{past}.")
        return HttpResponseRedirect(self.detail_url(step))


@admin.register(AwaitedApproval)
class AwaitedApprovalAdmin(ReadOnlyAdmin):
    """What waits for somebody, those that expire first at the top; each is answered on the page of its step."""

    list_display = ("asked", "step", "run", "tenant", "type", "expires")
    list_display_links = None
    list_filter = (("tenant", AutocompleteSelectFilter),)
    list_select_related = ("tenant",)
    id_fields = ("pk", "workflow_id")
    search_fields = ("id",)
    searches_text = False
    search_help_text = "The id of a step or a workflow"
    ordering = ("run_at",)
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(status="waiting", waiting_for="approval")

    @display(description="asked")
    def asked(self, step: Step) -> str:
        title: str = step.options.get("approval", {}).get("title", step.key)
        return title

    @display(description="step")
    def step(self, step: Step) -> str:
        return link(step.key, "workflows_step_change", step.pk)

    @display(description="workflow")
    def run(self, step: Step) -> str:
        return link(str(step.workflow_id), "workflows_workflow_change", step.workflow_id)

    @display(description="type")
    def type(self, step: Step) -> str:
        return step.label.partition(".")[0]

    @display(description="expires")
    def expires(self, step: Step) -> str:
        return moment(step.run_at)
