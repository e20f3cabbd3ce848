"""Stores what is declared in code: definitions as versions, and the queues that must exist."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from agentplatform.agents.registry import registry
from agentplatform.workflows.definition import Definition
from apps.tenants.models import TenantTier
from apps.workflows.models import QueueConfig, QueuePool, WorkflowDefinition

QUEUES: dict[str, dict[str, Any]] = {
    "interactive": {
        "priority": 100,
        "max_concurrent": 50,
        "step_timeout_seconds": 30,
        "max_attempts": 2,
        "base_backoff_seconds": 1.0,
        "dedicated_slots": 10,
        "lendable_slots": 0,
        "borrowable_slots": 0,
    },
    "standard": {
        "priority": 50,
        "max_concurrent": 100,
        "step_timeout_seconds": 120,
        "max_attempts": 3,
        "base_backoff_seconds": 5.0,
        "dedicated_slots": 5,
        "lendable_slots": 0,
        "borrowable_slots": 15,
    },
    "batch": {
        "priority": 10,
        "max_concurrent": 200,
        "step_timeout_seconds": 600,
        "max_attempts": 5,
        "base_backoff_seconds": 30.0,
        "dedicated_slots": 20,
        "lendable_slots": 15,
        "borrowable_slots": 0,
    },
}


GUARANTEED_PERCENT = {"free": 5, "standard": 25}
"""The share of each queue's slots that the tenants of a tier get first."""


def queues_ensure() -> None:
    """Creates the queues and their tiers' pools that are not there yet; what an operator has changed stays."""
    for name, defaults in QUEUES.items():
        QueueConfig.objects.get_or_create(name=name, defaults=defaults)
    for tier in TenantTier.objects.all():
        pools_ensure(tier)


def pools_ensure(tier: TenantTier) -> None:
    """Creates the pools of a tier that are not there yet, one in every queue."""
    percent = GUARANTEED_PERCENT.get(tier.name, 0)
    for queue in QueueConfig.objects.all():
        QueuePool.objects.get_or_create(queue=queue, tier=tier, defaults={"guaranteed_percent": percent})


def definitions_store() -> None:
    """Stores every registered definition whose content is not the current version's, as a new version."""
    for definition in registry.definitions.values():
        _store(definition)


def _store(definition: Definition) -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Two processes that start at once store one version, not two.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"definition:{definition.type}"])
        versions = WorkflowDefinition.objects.filter(type=definition.type)
        if versions.filter(is_current=True, content_hash=definition.content_hash).exists():
            return
        latest = versions.aggregate(latest=Max("version"))["latest"] or 0
        versions.filter(is_current=True).update(is_current=False)
        WorkflowDefinition.objects.create(
            type=definition.type,
            version=latest + 1,
            title=definition.title,
            is_internal=definition.is_internal,
            content=definition.to_json(),
            content_hash=definition.content_hash,
        )
