"""Reads of tenants and their keys."""

from __future__ import annotations

import functools
import time
import uuid

from django.conf import settings

from agentplatform.llm.tiers import Tier
from apps.database import release_connection
from apps.tenants.models import ApiKey, Tenant


def max_model_tier(tenant_id: uuid.UUID) -> Tier | None:
    """The highest tier of models that the tenant may use, at most settings.CONFIG_SECONDS old; None: all."""
    tenant = _tenant(tenant_id, int(time.monotonic() / settings.CONFIG_SECONDS))
    name = tenant.max_model_tier or tenant.tier.max_model_tier
    return Tier(name) if name else None


def tier_name(tenant_id: uuid.UUID) -> str:
    """The name of the tenant's tier, at most settings.CONFIG_SECONDS old."""
    return _tenant(tenant_id, int(time.monotonic() / settings.CONFIG_SECONDS)).tier_id


@functools.lru_cache(maxsize=4096)
def _tenant(tenant_id: uuid.UUID, _period: int) -> Tenant:
    try:
        return Tenant.objects.select_related("tier").get(pk=tenant_id)
    finally:
        release_connection()


def api_key_by_plaintext(plaintext: str) -> ApiKey | None:
    """The usable key with this plaintext, with its tenant and tier; None when there is none."""
    return (
        ApiKey.objects.usable()
        .select_related("tenant__tier")
        .filter(key_hash=ApiKey.hash_of(plaintext))
        .first()
    )
