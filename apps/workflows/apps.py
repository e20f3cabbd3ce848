from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules

from agentplatform.agents.registry import registry


class WorkflowsConfig(AppConfig):
    name = "apps.workflows"
    verbose_name = "Workflows"

    def ready(self) -> None:
        # Any installed app may bring agents and definitions.
        autodiscover_modules("agents", "workflows")
        registry.check()
        post_migrate.connect(_store_defaults, sender=self)
        from apps.console.navigation import badges
        from apps.workflows.selectors import approvals_awaited

        badges["workflows_awaitedapproval"] = approvals_awaited


def _store_defaults(**_: Any) -> None:
    from apps.workflows.definitions import definitions_store, queues_ensure

    queues_ensure()
    definitions_store()
