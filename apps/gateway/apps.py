from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class GatewayConfig(AppConfig):
    name = "apps.gateway"
    verbose_name = "Model gateway"

    def ready(self) -> None:
        post_migrate.connect(_store_defaults, sender=self)


def _store_defaults(**_: Any) -> None:
    from apps.gateway.services import providers_ensure

    providers_ensure()
