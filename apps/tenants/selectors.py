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
    return _max_model_tier(tenant_id, int(time.monotonic() / settings.CONFIG_SECONDS))


@functools.lru_cache(maxsize=4096)
def _max_model_tier(tenant_id: uuid.UUID, _period: int) -> Tier | None:
    try:
        tenant = Tenant.objects.select_related("tier").get(pk=tenant_id)
    finally:
        release_connection()
    name = tenant.max_model_tier or tenant.tier.max_model_tier
    return Tier(name) if name else None


def api_key_by_plaintext(plaintext: str) -> ApiKey | None:
    """The usable key with this plaintext, with its tenant and tier; None when there is none."""
    return (
        ApiKey.objects.usable()
        .select_related("tenant__tier")
        .filter(key_hash=ApiKey.hash_of(plaintext))
        .first()
    )
