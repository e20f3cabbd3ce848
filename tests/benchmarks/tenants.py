"""Tenants for benchmarks: nothing limits them but what is measured."""

from __future__ import annotations

import uuid

from apps.tenants.models import Tenant, TenantTier
from apps.tenants.services import tenant_create

UNLIMITED = {
    "requests_per_minute": 10_000_000,
    "steps_per_minute": 10_000_000,
    "tokens_per_minute": 2_000_000_000,
}


def unlimited_tenant(name: str, weight: int = 1) -> Tenant:
    """A tenant of a tier of this weight, whose steps are limited by the queue alone."""
    tier, _ = TenantTier.objects.get_or_create(
        name=f"bench-{weight}",
        defaults={"weight": weight, "max_concurrent_steps": 1_000, "pool": "shared", **UNLIMITED},
    )
    return tenant_create(name=f"{name} {uuid.uuid4()}", tier=tier.name)
