"""Who may do what in the admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.urls import reverse

from apps.budgets.models import LedgerEntry
from apps.gateway.models import (
    CacheCheck,
    CacheEntry,
    CacheScope,
    Call,
    CircuitTrip,
    ModelPrice,
    ModelTier,
    Provider,
)
from apps.knowledge.models import Document
from apps.notifications.models import Delivery, Endpoint, Notice, Recipient
from apps.tenants.models import ApiKey, Tenant, TenantTier, User
from apps.tenants.services import api_key_issue
from apps.workflows.letters import DeadLetter, DeadLetterGroup, OperatorAction
from apps.workflows.models import Heartbeat, QueueConfig, Step, Workflow, WorkflowDefinition
from tests.integration.admin.conftest import Person, change_url, list_url, logged, operation_url

READABLE = (
    Tenant,
    TenantTier,
    ApiKey,
    LedgerEntry,
    Call,
    ModelTier,
    Provider,
    ModelPrice,
    CircuitTrip,
    CacheEntry,
    CacheScope,
    CacheCheck,
    Document,
    Workflow,
    Step,
    WorkflowDefinition,
    QueueConfig,
    Heartbeat,
    DeadLetter,
    DeadLetterGroup,
    OperatorAction,
    Notice,
    Endpoint,
    Recipient,
    Delivery,
)


@pytest.mark.parametrize("group", ["operator", "finance", "read-only"])
def test_every_group_reads_everything_but_people(somebody: Callable[..., Person], group: str) -> None:
    """Users and groups are the administrators' own."""
    person = somebody(group)
    for model in READABLE:
        assert person.get(list_url(model)).status_code == 200, model
    assert person.get(reverse("admin:admin_logentry_changelist")).status_code == 200
    for model in (User, Group):
        refused = person.get(list_url(model))
        assert refused.status_code == 403
        assert "An administrator can add you to another group." in refused.content.decode()
    html = person.page(reverse("admin:index"))
    assert list_url(User) not in html
    assert list_url(Tenant) in html


@pytest.mark.parametrize("group", ["finance", "read-only"])
def test_who_only_reads_sees_no_buttons_and_is_refused_what_they_do(
    somebody: Callable[..., Person], tenant: Tenant, submit: Callable[..., Workflow], group: str
) -> None:
    """Each operation, forged, is answered 403, and nothing has changed."""
    person = somebody(group)
    workflow, api_key = submit("one_noop"), api_key_issue(name="one", tenant=tenant).api_key
    forged = [
        (tenant, "suspend"),
        (tenant, "reactivate"),
        (tenant, "issue_key"),
        (api_key, "rotate"),
        (api_key, "revoke"),
        (workflow, "cancel"),
        (workflow, "pause"),
        (workflow, "resume"),
    ]
    for obj, operation in forged:
        assert operation_url(obj, operation) not in person.page(change_url(obj))
        assert person.get(operation_url(obj, operation)).status_code == 403
        response = person.post(operation_url(obj, operation), confirmed="1", reason="forged", grace="0")
        assert response.status_code == 403, operation
    assert person.post("/admin/tenants/apikey/issue/", confirmed="1", name="forged").status_code == 403
    assert "Issue operator key" not in person.page(list_url(ApiKey))
    for model, action, obj in (
        (Tenant, "suspend_selected", tenant),
        (Tenant, "reactivate_selected", tenant),
        (ApiKey, "revoke_selected", api_key),
        (Workflow, "cancel_selected", workflow),
        (Workflow, "pause_selected", workflow),
        (Workflow, "resume_selected", workflow),
    ):
        fields = {"action": action, "confirmed": "1", "reason": "forged", ACTION_CHECKBOX_NAME: str(obj.pk)}
        assert person.client.post(list_url(model), fields).status_code == 403, action
        assert action not in person.page(list_url(model))
    tenant.refresh_from_db()
    assert tenant.is_active
    assert list(ApiKey.objects.usable()) == [api_key]
    assert Workflow.objects.get(pk=workflow.pk).status == "running"
    assert [logged(obj) for obj, _ in forged] == [[]] * len(forged)


@pytest.mark.parametrize("group", ["finance", "read-only"])
def test_who_only_reads_saves_and_deletes_nothing(
    somebody: Callable[..., Person], tenant: Tenant, group: str
) -> None:
    """Forms that others may send are refused."""
    person = somebody(group)
    queue = QueueConfig.objects.get(pk="standard")
    assert person.post(reverse("admin:tenants_tenant_add"), name="b", tier="free").status_code == 403
    assert person.post(change_url(tenant), name="b", tier="free").status_code == 403
    assert person.post(change_url(TenantTier.objects.get(pk="free")), weight="9").status_code == 403
    assert person.post(change_url(queue), max_concurrent="1").status_code == 403
    assert (
        person.post(reverse("admin:tenants_tenant_delete", args=[tenant.pk]), post="yes").status_code == 403
    )
    assert Tenant.objects.get().name == "acme"


def test_an_operator_changes_no_people(operator: Person) -> None:
    """Nobody promotes themselves."""
    response = operator.post(change_url(operator.user), username="operator", is_superuser="on")
    assert response.status_code == 403
    assert not User.objects.get(pk=operator.user.pk).is_superuser


def test_who_may_change_users_still_gives_no_rights(operator: Person, administrator: Person) -> None:
    """A permission on users that was given by hand is not a way to become an administrator."""
    operator.user.user_permissions.add(Permission.objects.get(codename="change_user"))
    fields = {
        "username": "operator",
        "is_superuser": "on",
        "is_staff": "on",
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }
    assert operator.post(change_url(operator.user), **fields).status_code == 302
    assert not User.objects.get(pk=operator.user.pk).is_superuser
    assert operator.post(change_url(administrator.user), **fields).status_code == 403


def test_what_an_administrator_changed_by_hand_stays(operator: Person) -> None:
    """Migrating again neither gives back what was taken nor takes what was given."""
    group = Group.objects.get(name="operator")
    taken = Permission.objects.get(codename="suspend_tenant")
    given = Permission.objects.get(codename="view_user")
    group.permissions.remove(taken)
    group.permissions.add(given)
    call_command("migrate", verbosity=0)
    codenames = set(group.permissions.values_list("codename", flat=True))
    assert "suspend_tenant" not in codenames
    assert {"view_user", "cancel_workflow", "issue_apikey"} <= codenames


def test_operators_have_no_settings_of_money(operator: Person) -> None:
    """Whatever is in the ledger's room is theirs to read alone, and so are prices."""
    permissions = Permission.objects.filter(group__name="operator", content_type__app_label="budgets")
    assert {permission.codename.split("_")[0] for permission in permissions} == {"view"}
    prices = Permission.objects.filter(group__name="operator", codename__endswith="_modelprice")
    assert {permission.codename for permission in prices} == {"view_modelprice"}


def test_a_person_is_added_to_a_group_and_that_is_logged(administrator: Person, operator: Person) -> None:
    """With before and after; a password is not."""
    group = Group.objects.get(name="finance")
    fields: dict[str, Any] = {
        "username": "operator",
        "is_staff": "on",
        "is_active": "on",
        "groups": [str(group.pk)],
        "date_joined_0": operator.user.date_joined.date().isoformat(),
        "date_joined_1": operator.user.date_joined.time().isoformat("seconds"),
    }
    assert administrator.client.post(change_url(operator.user), fields).status_code == 302
    (message,) = logged(operator.user)
    assert "groups [operator] → [finance]" in message
