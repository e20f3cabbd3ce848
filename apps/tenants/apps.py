"""Who may do what: users, tenants, tiers and API keys."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TenantsConfig(AppConfig):
    name = "apps.tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        post_migrate.connect(_store_defaults, sender=self)
        # Of every app: permissions are made app by app, just before this is called.
        post_migrate.connect(_ensure_groups)


def _store_defaults(**_: Any) -> None:
    from apps.tenants.services import tiers_ensure

    tiers_ensure()


def _ensure_groups(sender: AppConfig, **_: Any) -> None:
    from apps.tenants.groups import MONEY, OPERATIONS, READABLE, groups_ensure

    if sender.label in {*READABLE, *OPERATIONS, *MONEY}:
        groups_ensure(sender.label)
