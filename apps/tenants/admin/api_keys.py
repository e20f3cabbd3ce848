"""API keys: issue, rotate, revoke. A plaintext is in one response and nowhere else."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from apps.console.display import code, label, link, moment, status_label
from apps.console.operations import (
    Operation,
    Secret,
    confirmed_data,
    is_confirmed,
    operation_page,
    secret_page,
    selection,
)
from apps.console.pages import ReadOnlyAdmin, uuid_of
from apps.tenants.admin.forms import GRACE, IssueKeyForm, RotateKeyForm
from apps.tenants.models import ApiKey, Tenant
from apps.tenants.services import KeyIssued, api_key_issue, api_key_revoke, api_key_rotate

STATES = {"usable": "success", "expiring": "warning", "expired": "", "revoked": "danger"}


def state_of(api_key: ApiKey) -> str:
    """Whether a key works, and whether it will go on doing so."""
    if api_key.revoked_at is not None:
        return "revoked"
    if api_key.expires_at is None:
        return "usable"
    return "expiring" if api_key.expires_at > timezone.now() else "expired"


def key_rows(keys: Iterable[ApiKey]) -> list[list[Any]]:
    """Keys as rows of a table."""
    return [
        [
            link(f"{api_key.prefix}…", "tenants_apikey_change", api_key.pk),
            api_key.name,
            label(state_of(api_key), STATES[state_of(api_key)]),
            moment(api_key.created_at),
            moment(api_key.expires_at),
        ]
        for api_key in keys
    ]


class StateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state) for state in STATES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        unrevoked = queryset.filter(revoked_at=None)
        match self.value():
            case "usable":
                return unrevoked.filter(expires_at=None)
            case "expiring":
                return unrevoked.filter(expires_at__gt=Now())
            case "expired":
                return unrevoked.filter(expires_at__lte=Now())
            case "revoked":
                return queryset.exclude(revoked_at=None)
        return queryset


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys are made and ended by operations; none of their fields can be typed."""

    list_display = ("key", "name", "scope", "tenant", "state", "created_at", "expires_at")
    list_display_links = ("key", "name")
    list_filter = (
        StateFilter,
        ("scope", ChoicesDropdownFilter),
        ("tenant", AutocompleteSelectFilter),
    )
    list_select_related = ("tenant",)
    search_fields = ("name", "prefix", "tenant__name")
    id_fields = ("pk",)
    search_help_text = "Name, beginning of the key, tenant, or the id"
    ordering = ("-created_at",)
    fields = (
        "key",
        "name",
        "scope",
        "tenant",
        "state",
        "created_at",
        "expires_at",
        "revoked_at",
        "rotated_from",
        "id",
    )
    actions = ("revoke_selected",)
    actions_list = ("issue",)
    actions_detail = ("rotate", "revoke")

    @display(description="key", ordering="prefix")
    def key(self, api_key: ApiKey) -> str:
        return code(f"{api_key.prefix}…")

    @display(description="state")
    def state(self, api_key: ApiKey) -> str:
        return status_label(state_of(api_key), STATES)

    def has_issue_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "issue_apikey")

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "revoke_apikey")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Nothing is left to do with a key that has ended."""
        api_key = self.get_object(request, str(object_id))
        if api_key is None or state_of(api_key) in ("revoked", "expired"):
            return []
        return list(super().get_actions_detail(request, object_id))

    # --- Issuing -------------------------------------------------------------------------------------------

    @action(
        description="Issue operator key",
        url_path="issue",
        permissions=["issue"],
        icon="key",
        variant=ActionVariant.PRIMARY,
    )
    def issue(self, request: HttpRequest) -> HttpResponse:
        """For the tenant in `?tenant=`, as from the tenant's page; for an operator without."""
        tenant = _tenant_asked_for(request)
        form = IssueKeyForm(confirmed_data(request))
        if is_confirmed(request) and form.is_valid():
            try:
                with transaction.atomic():
                    issued = api_key_issue(tenant=tenant, **form.cleaned_data)
                    self.record(request, issued.api_key, f"Issued for {_owner(tenant)}", ADDITION)
            except KeyIssued:
                return self._issued_before(request, form.cleaned_data["key_id"])
            return self._show_once(request, issued.api_key, issued.plaintext)
        operation = Operation(
            title=f"Issue a key for {_owner(tenant)}",
            explanation="The key is shown once, on the next page. Only its hash is kept.",
            submit="Issue key",
            back_url=self.list_url if tenant is None else _tenant_url(tenant),
            form=form,
        )
        return operation_page(self, request, operation)

    @action(description="Rotate", url_path="rotate", permissions=["issue"], icon="autorenew")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        old = self.find(request, object_id)
        form = RotateKeyForm(confirmed_data(request))
        if is_confirmed(request) and form.is_valid():
            key_id = form.cleaned_data["key_id"]
            if ApiKey.objects.filter(pk=key_id).exists():
                return self._issued_before(request, key_id)
            if state_of(old) in ("revoked", "expired"):
                messages.error(request, f"This key is {state_of(old)}; issue a new one instead.")
                return HttpResponseRedirect(self.detail_url(old))
            grace = GRACE[form.cleaned_data["grace"]]
            with transaction.atomic():
                issued = api_key_rotate(old, grace=form.grace_period, key_id=key_id)
                self.record(
                    request, old, f"Rotated: successor {issued.api_key.prefix}…, grace period {grace}"
                )
                self.record(request, issued.api_key, f"Issued by rotating {old.prefix}…", ADDITION)
            return self._show_once(request, issued.api_key, issued.plaintext)
        operation = Operation(
            title=f"Rotate {old.prefix}…?",
            explanation="A successor with the same rights is issued and shown once, on the next page.",
            submit="Rotate key",
            back_url=self.detail_url(old),
            form=form,
        )
        return operation_page(self, request, operation)

    def _show_once(self, request: HttpRequest, api_key: ApiKey, plaintext: str) -> HttpResponse:
        secret = Secret(
            title="The new API key",
            name=api_key.name,
            owner=_owner(api_key.tenant),
            note="Only its hash is kept.",
            plaintext=plaintext,
            back_url=self.detail_url(api_key),
        )
        return secret_page(self, request, secret)

    def _issued_before(self, request: HttpRequest, key_id: uuid.UUID) -> HttpResponse:
        messages.warning(
            request, "This key has been issued already and is not shown again. Revoke it if it was not kept."
        )
        return HttpResponseRedirect(reverse("admin:tenants_apikey_change", args=[key_id]))

    # --- Revoking ------------------------------------------------------------------------------------------

    @action(
        description="Revoke",
        url_path="revoke",
        permissions=["revoke"],
        icon="block",
        variant=ActionVariant.DANGER,
    )
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        api_key = self.find(request, object_id)
        return self._revoke(request, [api_key], self.detail_url(api_key), [])

    @action(description="Revoke", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse:
        return self._revoke(request, list(queryset), request.get_full_path(), selection(request, queryset))

    def _revoke(
        self, request: HttpRequest, keys: list[ApiKey], back: str, hidden: list[tuple[str, str]]
    ) -> HttpResponse:
        if is_confirmed(request):
            for api_key in keys:
                with transaction.atomic():
                    self.record(request, api_key, f"Revoked: was {state_of(api_key)}")
                    api_key_revoke(api_key)
            messages.success(request, f"Revoked: {', '.join(f'{item.prefix}…' for item in keys)}")
            return HttpResponseRedirect(back)
        operation = Operation(
            title=f"Revoke {len(keys)} keys?" if len(keys) > 1 else f"Revoke {keys[0].prefix}…?",
            explanation="A revoked key is answered 401 at once, for good.",
            submit="Revoke",
            back_url=back,
            objects=[f"{item.prefix}… {item.name}, {_owner(item.tenant)}" for item in keys],
            hidden=hidden,
            is_dangerous=True,
        )
        return operation_page(self, request, operation)


def _tenant_asked_for(request: HttpRequest) -> Tenant | None:
    text = request.GET.get("tenant")
    if text is None:
        return None
    tenant_id = uuid_of(text)
    tenant = Tenant.objects.filter(pk=tenant_id).first() if tenant_id else None
    if tenant is None:
        raise Http404
    return tenant


def _tenant_url(tenant: Tenant) -> str:
    return reverse("admin:tenants_tenant_change", args=[tenant.pk])


def _owner(tenant: Tenant | None) -> str:
    return "an operator" if tenant is None else f"tenant '{tenant.name}'"
