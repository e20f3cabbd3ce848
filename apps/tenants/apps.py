from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TenantsConfig(AppConfig):
    name = "apps.tenants"
    verbose_name = "Tenants"

    def ready(self) -> None:
        post_migrate.connect(_store_defaults, sender=self)


def _store_defaults(**_: Any) -> None:
    from apps.tenants.services import tiers_ensure

    tiers_ensure()
