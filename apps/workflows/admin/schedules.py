"""Schedules: when they come next, what became of the last, and starting one at once."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.console.display import NOTHING, label, link, moment
from apps.console.operations import Operation, is_confirmed, operation_page
from apps.console.pages import ConsoleAdmin
from apps.workflows.models import Schedule
from apps.workflows.schedules import (
    CHANGEABLE,
    InvalidSchedule,
    NameTaken,
    TooManySchedules,
    schedule_check,
    schedule_create,
    schedule_delete,
    schedule_run,
    schedule_update,
)
from apps.workflows.submissions import InvalidSubmission

# Upkeep is the platform's own, and tenants' times are changed through their schedules.
for hidden in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(hidden)


class ScheduleForm(forms.ModelForm):
    """A schedule; what a run of it would be refused for is said beside its field."""

    class Meta:
        model = Schedule
        fields = ("tenant", *CHANGEABLE)
        widgets = {"cron": UnfoldAdminTextInputWidget, "time_zone": UnfoldAdminTextInputWidget}

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.errors:
            return cleaned
        proposed = Schedule(tenant=self.cleaned_data.get("tenant") or self.instance.tenant)
        for name in CHANGEABLE:
            setattr(proposed, name, self.cleaned_data[name])
        try:
            schedule_check(proposed)
        except InvalidSchedule as error:
            for path, detail in error.errors:
                place = str(path[0]) if path and str(path[0]) in self.fields else None
                self.add_error(place, ValidationError(f"{'/'.join(map(str, path))}: {detail}"))
        return cleaned


@admin.register(Schedule)
class ScheduleAdmin(ConsoleAdmin):
    """Of all tenants. Changes go through the same checks as over REST."""

    form = ScheduleForm
    list_display = ("name", "tenant", "type", "times", "next_run_at", "last_run", "state")
    list_filter = (("tenant", AutocompleteSelectFilter), ("is_enabled", BooleanRadioFilter))
    list_select_related = ("tenant",)
    search_fields = ("name", "type", "tenant__name")
    id_fields = ("pk",)
    ordering = ("-id",)
    autocomplete_fields = ("tenant",)
    actions_detail = ("run",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        told = ("next_run_at", "last_run", "last_skipped_at", "last_error", "created_at", "id")
        return ("tenant", *CHANGEABLE, *(told if obj is not None else ()))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ()
        return ("tenant", "next_run_at", "last_run", "last_skipped_at", "last_error", "created_at", "id")

    @display(description="times")
    def times(self, schedule: Schedule) -> str:
        """In words, as beat's own table has them."""
        task = schedule.periodic_task
        if task is None:
            return NOTHING
        return task.crontab.human_readable if task.crontab is not None else str(task.interval)

    @display(description="last run")
    def last_run(self, schedule: Schedule) -> str:
        if schedule.last_workflow_id is None:
            return NOTHING
        return link(moment(schedule.last_run_at), "workflows_workflow_change", schedule.last_workflow_id)

    @display(description="state")
    def state(self, schedule: Schedule) -> str:
        if not schedule.is_enabled:
            return label("disabled", "")
        return label("refused", "danger") if schedule.last_error else label("enabled", "success")

    def save_model(self, request: HttpRequest, obj: Schedule, form: Any, change: bool) -> None:
        fields = {name: form.cleaned_data[name] for name in CHANGEABLE}
        if change:
            schedule_update(obj, fields)
            return
        obj.pk = schedule_create(tenant=obj.tenant, fields=fields).pk
        obj.refresh_from_db()

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except (NameTaken, TooManySchedules) as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(request.get_full_path())

    def delete_model(self, request: HttpRequest, obj: Schedule) -> None:
        schedule_delete(obj)

    def has_run_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "run_schedule")

    @action(description="Run now", url_path="run", permissions=["run"], icon="play_circle")
    def run(self, request: HttpRequest, object_id: str) -> HttpResponse:
        schedule = self.find(request, object_id)
        if not is_confirmed(request):
            operation = Operation(
                title=f"Start a run of {schedule} now?",
                explanation="It costs what any other does; the schedule's times stay as they are.",
                submit="Start",
                back_url=self.detail_url(schedule),
            )
            return operation_page(self, request, operation)
        try:
            started = schedule_run(schedule)
        except InvalidSubmission as error:
            messages.error(request, f"It was refused: {error}")
        else:
            self.record(request, schedule, f"Started workflow {started.id}")
            messages.success(request, f"Workflow {started.id} was started.")
        return HttpResponseRedirect(self.detail_url(schedule))
