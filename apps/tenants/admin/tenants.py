"""Tenants: create, re-tier, suspend, reactivate, delete those without a history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import PROTECT, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from apps.console.display import status_label
from apps.console.operations import Operation, confirmed_data, is_confirmed, operation_page, selection
from apps.console.pages import ConsoleAdmin
from apps.console.tables import Table
from apps.tenants.admin.api_keys import key_rows
from apps.tenants.admin.forms import SuspendForm, TenantForm
from apps.tenants.models import LIMITS, Tenant
from apps.tenants.services import tenant_create, tenant_reactivate, tenant_suspend, tenant_update

SUSPENDING = (
    "The keys of a suspended tenant are answered 403 and its ready steps wait. Steps that are running end, "
    "and are paid for. Reactivating goes on where it stopped."
)
REACTIVATING = "Its keys work again and its waiting steps are admitted."


@admin.register(Tenant)
class TenantAdmin(ConsoleAdmin):
    """A tenant's status changes by an operation with a reason, never by its form."""

    list_display: tuple[str, ...] = ("name", "tier", "state", "status_reason", "created_at")
    list_filter = (("tier", RelatedDropdownFilter), ("status", ChoicesDropdownFilter))
    list_select_related = ("tier",)
    search_fields = ("name",)
    id_fields = ("pk",)
    search_help_text = "Name, or the id"
    ordering = ("name",)
    form = TenantForm
    fields: tuple[str, ...] = (
        "name",
        "tier",
        *LIMITS,
        "max_model_tier",
        "state",
        "status_reason",
        "id",
        "created_at",
    )
    readonly_fields: tuple[str, ...] = ("state", "status_reason", "id", "created_at")
    add_fieldsets = ((None, {"fields": ("name", "tier", *LIMITS, "max_model_tier")}),)
    actions = ("suspend_selected", "reactivate_selected")
    actions_detail = ("suspend", "reactivate", "issue_key")

    @display(description="status", ordering="status")
    def state(self, tenant: Tenant) -> str:
        return status_label(tenant.status, {"active": "success", "suspended": "danger"})

    def detail_tables(self, request: HttpRequest, obj: Tenant) -> Sequence[Table]:
        if not self.may(request, "view_apikey"):
            return ()
        keys = obj.api_keys.order_by("-created_at")[:50]
        return [Table("API keys", ("key", "name", "state", "created", "expires"), key_rows(keys))]

    # --- Saving goes through the services ------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Tenant, form: forms.ModelForm[Any], change: bool) -> None:
        limits = {name: getattr(obj, name) for name in LIMITS}
        if change:
            tenant_update(obj, name=obj.name, tier=obj.tier, limits=limits)
        else:
            obj.pk = tenant_create(name=obj.name, tier=obj.tier_id, limits=limits).pk
        obj.refresh_from_db()

    # --- Suspending and reactivating -----------------------------------------------------------------------

    def has_suspend_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "suspend_tenant")

    def has_issue_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "issue_apikey")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Suspend for an active tenant, reactivate for a suspended one."""
        tenant = self.get_object(request, str(object_id))
        other = "reactivate" if tenant is None or tenant.is_active else "suspend"
        allowed = super().get_actions_detail(request, object_id)
        return [item for item in allowed if item.path != other]

    @action(
        description="Suspend",
        url_path="suspend",
        permissions=["suspend"],
        icon="pause_circle",
        variant=ActionVariant.DANGER,
    )
    def suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = self.find(request, object_id)
        return self._suspend(request, [tenant], self.detail_url(tenant), [])

    @action(description="Suspend", permissions=["suspend"])
    def suspend_selected(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> HttpResponse:
        return self._suspend(request, list(queryset), request.get_full_path(), selection(request, queryset))

    def _suspend(
        self, request: HttpRequest, tenants: list[Tenant], back: str, hidden: list[tuple[str, str]]
    ) -> HttpResponse:
        form = SuspendForm(confirmed_data(request))
        if is_confirmed(request) and form.is_valid():
            for tenant in tenants:
                self._suspend_one(request, tenant, form.cleaned_data["reason"])
            messages.success(request, f"Suspended: {names(tenants)}.")
            return HttpResponseRedirect(back)
        title = f"Suspend {names(tenants)}?"
        shown = [tenant.name for tenant in tenants]
        return operation_page(
            self, request, Operation(title, SUSPENDING, "Suspend", back, form, shown, hidden, True)
        )

    def _suspend_one(self, request: HttpRequest, tenant: Tenant, reason: str) -> None:
        with transaction.atomic():
            tenant_suspend(tenant, reason=reason)
            self.record(request, tenant, f"Suspended: status {tenant.status} → suspended, reason '{reason}'")

    @action(
        description="Reactivate",
        url_path="reactivate",
        permissions=["suspend"],
        icon="play_circle",
        variant=ActionVariant.SUCCESS,
    )
    def reactivate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = self.find(request, object_id)
        return self._reactivate(request, [tenant], self.detail_url(tenant), [])

    @action(description="Reactivate", permissions=["suspend"])
    def reactivate_selected(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> HttpResponse:
        return self._reactivate(
            request, list(queryset), request.get_full_path(), selection(request, queryset)
        )

    def _reactivate(
        self, request: HttpRequest, tenants: list[Tenant], back: str, hidden: list[tuple[str, str]]
    ) -> HttpResponse:
        if is_confirmed(request):
            for tenant in tenants:
                with transaction.atomic():
                    tenant_reactivate(tenant)
                    was = f"status {tenant.status} → active, reason was '{tenant.status_reason}'"
                    self.record(request, tenant, f"Reactivated: {was}")
            messages.success(request, f"Reactivated: {names(tenants)}.")
            return HttpResponseRedirect(back)
        title = f"Reactivate {names(tenants)}?"
        shown = [tenant.name for tenant in tenants]
        return operation_page(
            self, request, Operation(title, REACTIVATING, "Reactivate", back, None, shown, hidden)
        )

    @action(description="Issue key", url_path="issue-key", permissions=["issue"], icon="key")
    def issue_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        tenant = self.find(request, object_id)
        return HttpResponseRedirect(f"{reverse('admin:tenants_apikey_issue')}?tenant={tenant.pk}")

    # --- Deleting ------------------------------------------------------------------------------------------

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Counts what goes with a tenant; one with a history is refused, without reading that history."""
        deleted: list[Any] = []
        counts: dict[str, int] = {}
        refused: list[Any] = []
        for tenant in objs:
            kept = history_of(tenant)
            if kept:
                refused.append(
                    f"{tenant.name} has a history (there are {kept}), which is never deleted. Suspend it instead."
                )
                continue
            deleted.append(tenant.name)
            for name, count in belongings_of(tenant).items():
                counts[name] = counts.get(name, 0) + count
        return deleted, {"tenants": len(deleted), **counts}, set(), refused


def names(tenants: Sequence[Tenant]) -> str:
    return tenants[0].name if len(tenants) == 1 else f"{len(tenants)} tenants"


def history_of(tenant: Tenant) -> str | None:
    """The first kind of thing found that may not be deleted, such as workflows; None for a tenant without any."""
    for relation in Tenant._meta.related_objects:
        related: Any = relation.related_model
        if relation.on_delete is PROTECT and related.objects.filter(**{relation.field.name: tenant}).exists():
            return str(related._meta.verbose_name_plural)
    return None


def belongings_of(tenant: Tenant) -> dict[str, int]:
    """How much of what is deleted with the tenant there is."""
    counts = {
        str(relation.related_model._meta.verbose_name_plural): relation.related_model._default_manager.filter(
            **{relation.field.name: tenant}
        ).count()
        for relation in Tenant._meta.related_objects
        if relation.on_delete is not PROTECT
    }
    return {name: count for name, count in counts.items() if count}
