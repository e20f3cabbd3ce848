"""Webhook endpoints: tenants' and the operators' own. A secret is in one response and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter
from unfold.decorators import action, display

from apps.console.display import label
from apps.console.operations import (
    Operation,
    Secret,
    confirmed_data,
    is_confirmed,
    operation_page,
    secret_page,
)
from apps.console.pages import ConsoleAdmin
from apps.console.tables import Table
from apps.notifications.admin.deliveries import DELIVERY_HEADERS, delivery_cells
from apps.notifications.admin.forms import OVERLAP, EndpointForm, RotateSecretForm, endpoint_fields
from apps.notifications.endpoints import (
    EndpointOff,
    TooManyEndpoints,
    endpoint_create,
    endpoint_delete,
    endpoint_ping,
    endpoint_rotate_secret,
    endpoint_update,
)
from apps.notifications.models import Endpoint
from apps.notifications.selectors import deliveries_of

CHANGEABLE = ("url", "description", "events", "is_enabled")


@admin.register(Endpoint)
class EndpointAdmin(ConsoleAdmin):
    """Without a tenant it is the operators' own. Its secret is stored encrypted and shown once."""

    form = EndpointForm
    list_display = ("name", "tenant", "shown_events", "state", "disabled_reason", "created_at")
    list_filter = (("tenant", AutocompleteSelectFilter), ("is_enabled", BooleanRadioFilter))
    list_select_related = ("tenant",)
    search_fields = ("url", "description", "tenant__name")
    id_fields = ("pk",)
    ordering = ("-id",)
    autocomplete_fields = ("tenant",)
    actions_detail = ("ping", "rotate")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("tenant", "url", "description", "events")
        told = ("disabled_reason", "failing_since", "previous_secret_expires_at", "created_at", "id")
        return ("tenant", *CHANGEABLE, *told)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ()
        return (
            "tenant",
            "disabled_reason",
            "failing_since",
            "previous_secret_expires_at",
            "created_at",
            "id",
        )

    def detail_tables(self, request: HttpRequest, obj: Endpoint) -> Sequence[Table]:
        latest = deliveries_of(obj).select_related("endpoint").order_by("-pk")[:50]
        return [Table("Latest deliveries", DELIVERY_HEADERS, [delivery_cells(one) for one in latest])]

    @display(description="endpoint")
    def name(self, endpoint: Endpoint) -> str:
        return str(endpoint)

    @display(description="events")
    def shown_events(self, endpoint: Endpoint) -> str:
        return ", ".join(endpoint.events) or "all"

    @display(description="state")
    def state(self, endpoint: Endpoint) -> str:
        if not endpoint.is_enabled:
            return label("disabled", "danger")
        return label("failing", "warning") if endpoint.failing_since else label("enabled", "success")

    # --- Saving goes through the services ------------------------------------------------------------------

    def save_model(
        self, request: HttpRequest, obj: Endpoint, form: forms.ModelForm[Any], change: bool
    ) -> None:
        if change:
            endpoint_update(obj, endpoint_fields(form, *form.changed_data))
            return
        issued = endpoint_create(tenant=obj.tenant, **endpoint_fields(form, "url", "description", "events"))
        obj.pk = issued.endpoint.pk
        obj.refresh_from_db()
        request.issued_secret = issued.plaintext  # type: ignore[attr-defined]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        try:
            return super().add_view(request, form_url, extra_context)
        except TooManyEndpoints as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(self.list_url)

    def response_add(
        self, request: HttpRequest, obj: Endpoint, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self._show_once(request, obj, request.issued_secret)  # type: ignore[attr-defined]

    def delete_model(self, request: HttpRequest, obj: Endpoint) -> None:
        endpoint_delete(obj)

    # --- Testing and rotating ------------------------------------------------------------------------------

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "operate_endpoint")

    @action(description="Send a test", url_path="ping", permissions=["operate"], icon="network_check")
    def ping(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint = self.find(request, object_id)
        if not is_confirmed(request):
            explanation = "It is sent the event `ping`, and answers as to any other."
            operation = Operation(
                f"Send a test to {endpoint}?", explanation, "Send", self.detail_url(endpoint)
            )
            return operation_page(self, request, operation)
        try:
            with transaction.atomic():
                endpoint_ping(endpoint)
                self.record(request, endpoint, "Tested")
            messages.success(request, "The test is on its way; the latest deliveries tell what comes of it.")
        except EndpointOff as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(self.detail_url(endpoint))

    @action(description="Rotate secret", url_path="rotate", permissions=["operate"], icon="autorenew")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint = self.find(request, object_id)
        form = RotateSecretForm(confirmed_data(request))
        if is_confirmed(request) and form.is_valid():
            with transaction.atomic():
                issued = endpoint_rotate_secret(endpoint, overlap=timedelta(hours=form.overlap_hours))
                overlap = OVERLAP[form.cleaned_data["overlap"]]
                self.record(request, endpoint, f"Rotated its secret, overlap {overlap}")
            return self._show_once(request, endpoint, issued.plaintext)
        operation = Operation(
            title=f"Rotate the secret of {endpoint}?",
            explanation="A new secret is made and shown once, on the next page.",
            submit="Rotate secret",
            back_url=self.detail_url(endpoint),
            form=form,
        )
        return operation_page(self, request, operation)

    def _show_once(self, request: HttpRequest, endpoint: Endpoint, plaintext: str) -> HttpResponse:
        secret = Secret(
            title="The secret of the webhook endpoint",
            name=str(endpoint),
            owner="the operators" if endpoint.tenant is None else f"tenant '{endpoint.tenant.name}'",
            note="What is kept of it is encrypted.",
            plaintext=plaintext,
            back_url=self.detail_url(endpoint),
        )
        return secret_page(self, request, secret)
