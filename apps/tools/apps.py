from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules


class ToolsConfig(AppConfig):
    name = "apps.tools"
    verbose_name = "Tools"

    def ready(self) -> None:
        # Any installed app may bring tools.
        autodiscover_modules("tools")
        post_migrate.connect(_store_defaults, sender=self)


def _store_defaults(**_: Any) -> None:
    from apps.tools.services import tools_ensure

    tools_ensure()
