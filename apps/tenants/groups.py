"""The built-in groups of people who use the admin, and what they may do there."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission

from apps.tenants.models import DefaultPermission

READABLE: dict[str, frozenset[str]] = {
    "admin": frozenset({"logentry"}),
    "tenants": frozenset({"tenant", "tenanttier", "apikey"}),
    "notifications": frozenset({"notice", "endpoint", "recipient", "delivery"}),
    "budgets": frozenset(
        {"ledgerentry", "budget", "budgetoverride", "thresholdcrossing", "budgethold", "reservation"}
    ),
    "gateway": frozenset(
        {
            "call",
            "providerbatch",
            "modeltier",
            "tierprovider",
            "provider",
            "providerrate",
            "modelprice",
            "circuittrip",
            "cacheentry",
            "cachescope",
            "cachecheck",
        }
    ),
    "tools": frozenset({"toolsettings", "tenanttool", "mcpserver", "toolcall"}),
    "knowledge": frozenset({"knowledgebase", "document", "session"}),
    "workflows": frozenset(
        {
            "workflowdefinition",
            "workflow",
            "step",
            "queueconfig",
            "queuepool",
            "heartbeat",
            "feedback",
            "deadletter",
            "deadlettergroup",
            "operatoraction",
            "schedule",
            "awaitedapproval",
        }
    ),
    "insights": frozenset(
        {"budgetforecast", "hourlyrunprofile", "driftwindow", "driftreference", "capacityplan"}
    ),
    "django_celery_results": frozenset({"taskresult"}),
}
"""What all groups may read, by app."""

OPERATIONS: dict[str, frozenset[str]] = {
    "tenants": frozenset(
        {
            "add_tenant",
            "change_tenant",
            "delete_tenant",
            "suspend_tenant",
            "add_tenanttier",
            "change_tenanttier",
            "delete_tenanttier",
            "issue_apikey",
            "revoke_apikey",
        }
    ),
    "gateway": frozenset(
        {
            "change_modeltier",
            "add_tierprovider",
            "change_tierprovider",
            "delete_tierprovider",
            "add_provider",
            "change_provider",
            "delete_provider",
            "check_provider",
            "add_providerrate",
            "change_providerrate",
            "delete_providerrate",
            "operate_circuittrip",
            "cancel_providerbatch",
            "add_cachescope",
            "change_cachescope",
            "purge_cacheentry",
        }
    ),
    "notifications": frozenset(
        {
            "acknowledge_notice",
            "add_endpoint",
            "change_endpoint",
            "delete_endpoint",
            "operate_endpoint",
            "add_recipient",
            "change_recipient",
            "delete_recipient",
            "redeliver_delivery",
        }
    ),
    "tools": frozenset(
        {
            "change_toolsettings",
            "change_tenanttool",
            "delete_tenanttool",
            "operate_tenanttool",
            "add_mcpserver",
            "change_mcpserver",
            "delete_mcpserver",
        }
    ),
    "knowledge": frozenset({"embed_knowledgebase", "read_session", "forget_session"}),
    "insights": frozenset(
        {"add_driftreference", "change_driftreference", "delete_driftreference", "add_capacityplan"}
    ),
    "workflows": frozenset(
        {
            "change_queueconfig",
            "change_queuepool",
            "cancel_workflow",
            "pause_workflow",
            "approve_step",
            "add_schedule",
            "change_schedule",
            "delete_schedule",
            "run_schedule",
            "requeue_deadletter",
            "discard_deadletter",
        }
    ),
}
"""What operators do: everything but settings of money."""

MONEY: dict[str, frozenset[str]] = {
    "budgets": frozenset(
        {
            "add_budget",
            "change_budget",
            "delete_budget",
            "add_budgetoverride",
            "change_budgetoverride",
            "delete_budgetoverride",
        }
    ),
    "gateway": frozenset({"add_modelprice", "change_modelprice", "delete_modelprice"}),
    "tools": frozenset({"price_tool", "change_toolsettings", "change_tenanttool", "change_mcpserver"}),
}
"""What finance does beyond reading: the settings of money."""

GROUPS: dict[str, dict[str, frozenset[str]]] = {"operator": OPERATIONS, "finance": MONEY, "read-only": {}}


def groups_ensure(app_label: str) -> None:
    """Gives the groups their permissions on one app's models, each permission once.

    What an administrator added stays; what was taken away is not given again.
    """
    for name, beyond_reading in GROUPS.items():
        codenames = {f"view_{model}" for model in READABLE.get(app_label, ())}
        codenames |= beyond_reading.get(app_label, frozenset())
        group, _ = Group.objects.get_or_create(name=name)
        given = DefaultPermission.objects.filter(group=group).values("permission")
        missing = Permission.objects.filter(
            content_type__app_label=app_label, codename__in=codenames
        ).exclude(pk__in=given)
        permissions = list(missing)
        group.permissions.add(*permissions)
        DefaultPermission.objects.bulk_create(
            [DefaultPermission(group=group, permission=permission) for permission in permissions],
            ignore_conflicts=True,
        )
