"""The base of all admin pages."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any

from django import forms
from django.contrib.admin import ShowFacets
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet, UUIDField
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from apps.console import audit
from apps.console.paging import BoundedPaginator
from apps.console.tables import Table


class ConsoleChangeList(ChangeList):
    """A list whose page of rows is completed by its admin in a query or two, whatever the number of rows."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list: list[Any] = list(self.result_list)
        self.model_admin.complete_rows(self.result_list)
        if not self.query and not self.has_active_filters:
            self.full_result_count = (
                self.result_count
            )  # so that "show all" is offered when something is left out


class ConsoleAdmin(ModelAdmin):
    """Lists that stay quick on any table, changes that are logged with before and after, tables below details."""

    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # they would count every choice of every filter
    paginator = BoundedPaginator
    list_filter_submit = True
    list_disable_select_all = True
    list_fullwidth = True
    warn_unsaved_form = True
    change_form_outer_after_template = "console/tables.html"
    id_fields: tuple[str, ...] = ()
    """Which fields hold the ids that the search box takes."""
    list_defers: tuple[str, ...] = ()
    """What a list neither shows nor reads, such as documents."""
    searches_text = True
    """Whether `search_fields` are searched for anything that is no id; else ids and their beginnings are all."""

    def complete_rows(self, rows: Sequence[Any]) -> None:
        """Adds to the rows of a page what their list shows and their table does not hold."""

    def detail_tables(self, request: HttpRequest, obj: Any) -> Sequence[Table]:
        """What is shown below the fields of an object."""
        return ()

    def list_tables(self, request: HttpRequest) -> Sequence[Table]:
        """What a list shows besides its rows, where `list_before_template` or `list_after_template` is set."""
        return ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset = super().get_queryset(request)
        is_list = request.resolver_match is not None and not request.resolver_match.kwargs
        return queryset.defer(*self.list_defers) if is_list and self.list_defers else queryset

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found = uuid_of(search_term)
        if found is not None and self.id_fields:
            return queryset.filter(self.matching_id(found)), False
        if search_term.strip() and not self.searches_text:
            return starting_with(queryset, search_term), False
        return super().get_search_results(request, queryset, search_term)

    def matching_id(self, found: uuid.UUID) -> Q:
        """What a row matches whose id was searched for."""
        return reduce(or_, (Q(**{field: found}) for field in self.id_fields))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ConsoleChangeList

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """No bulk deletion: it would not say what it refuses, and deletes more than one sees."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return dict(actions)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Django passes over an action that the user does not have; a forged one is to be refused.
        if request.method == "POST" and request.POST.get("action", "") not in {
            "",
            *self.get_actions(request),
        }:
            raise PermissionDenied
        if request.POST.get("select_across", "0") != "0":
            # Operations are for what was chosen and is named on the page that asks, not for all that match.
            chosen = request.POST.copy()
            chosen["select_across"] = "0"
            request.POST = chosen  # type: ignore[assignment]
        tables = self.list_tables(request)
        return super().changelist_view(request, {**(extra_context or {}), "console_tables": tables})

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if obj is not None:
            context["console_tables"] = self.detail_tables(request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def construct_change_message(
        self, request: HttpRequest, form: forms.ModelForm[Any], formsets: Any, add: bool = False
    ) -> str:
        return audit.added(form) if add else audit.changed(form, formsets)

    def record(self, request: HttpRequest, obj: Model, message: str, flag: int = CHANGE) -> None:
        """Writes to the log what a person did to an object beyond saving its form."""
        assert isinstance(request.user, AbstractBaseUser)
        LogEntry.objects.log_actions(request.user.pk, [obj], flag, message, single_object=True)

    def find(self, request: HttpRequest, object_id: str) -> Any:
        """The object of a detail page's operation. Raises Http404, and PermissionDenied for who may not see it."""
        obj = self.get_object(request, object_id)
        if obj is None:
            raise Http404
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        return obj

    def may(self, request: HttpRequest, permission: str) -> bool:
        """Whether the user has this permission of the app, such as `cancel_workflow`."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.{permission}"))

    def detail_url(self, obj: Model) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk])

    @property
    def list_url(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")


class ReadOnlyAdmin(ConsoleAdmin):
    """Pages to look at: nobody, an administrator included, adds, changes or deletes here."""

    warn_unsaved_form = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def uuid_of(text: str) -> uuid.UUID | None:
    """The UUID that somebody typed or pasted; a Celery task id (`<step>:<attempt>`) counts as its step's."""
    try:
        return uuid.UUID(text.strip().partition(":")[0])
    except ValueError:
        return None


def starting_with(queryset: QuerySet[Any], prefix: str) -> QuerySet[Any]:
    """The rows whose UUID begins with these (at least six) hexadecimal digits, by the primary key's index."""
    digits = prefix.strip().lower().replace("-", "")
    is_uuid = isinstance(queryset.model._meta.pk, UUIDField)
    if not is_uuid or not 6 <= len(digits) <= 32 or not set(digits) <= set("0123456789abcdef"):
        return queryset.none()
    first, last = uuid.UUID(digits.ljust(32, "0")), uuid.UUID(digits.ljust(32, "f"))
    return queryset.filter(pk__range=(first, last))
