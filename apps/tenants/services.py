"""Writes to tenants and their keys."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from apps.tenants.models import ApiKey, Tenant, TenantTier

KEY_PREFIX = "ap_"


class TenantExists(ValueError):
    """A tenant of that name is already there."""


class UnknownTier(ValueError):
    """There is no tier of that name."""


class KeyIssued(ValueError):
    """A key of that id is there already."""


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key just made: `plaintext` is shown this once and kept nowhere."""

    api_key: ApiKey
    plaintext: str


LIMIT_BOUNDS: dict[str, tuple[int, int]] = {
    "requests_per_minute": (1, 10_000_000),
    "steps_per_minute": (1, 10_000_000),
    "tokens_per_minute": (1, 2_000_000_000),
    "max_concurrent_steps": (1, 100_000),
    "weight": (1, 1_000),
    "session_retention_days": (1, 3_650),
}
"""The least and the most that each limit may be."""


def limit_check(name: str, value: int) -> int:
    """The value of one of LIMITS, if it makes sense. Raises ValueError."""
    least, most = LIMIT_BOUNDS[name]
    if not least <= value <= most:
        raise ValueError(f"Choose a number from {least:,} to {most:,}.")
    return value


def tenant_create(*, name: str, tier: str, limits: Mapping[str, int | None] | None = None) -> Tenant:
    """A new, active tenant, with the limits that are its own. Raises TenantExists or UnknownTier."""
    tenant_tier = TenantTier.objects.filter(name=tier).first()
    if tenant_tier is None:
        known = ", ".join(TenantTier.objects.values_list("name", flat=True))
        raise UnknownTier(f"there is no tier '{tier}'; choose one of: {known}")
    try:
        with transaction.atomic():
            return Tenant.objects.create(name=name, tier=tenant_tier, **(limits or {}))
    except IntegrityError as error:
        raise TenantExists(f"a tenant named '{name}' exists already; choose another name") from error


def tenant_update(tenant: Tenant, *, name: str, tier: TenantTier, limits: Mapping[str, int | None]) -> None:
    """Renames a tenant, moves it to another tier, or changes the limits that are its own (None: the tier's).

    Its status is left alone. Raises TenantExists.
    """
    try:
        with transaction.atomic():
            Tenant.objects.filter(pk=tenant.pk).update(name=name, tier=tier, **limits)
    except IntegrityError as error:
        raise TenantExists(f"a tenant named '{name}' exists already; choose another name") from error


def tenant_limit(tenant: Tenant, limits: Mapping[str, int | None]) -> None:
    """Changes some of the limits that are the tenant's own (None: the tier's). Raises ValueError."""
    for name, value in limits.items():
        if value is not None:
            limit_check(name, value)
    Tenant.objects.filter(pk=tenant.pk).update(**limits)


def tenant_suspend(tenant: Tenant, *, reason: str = "") -> None:
    """Its keys are answered 403 and its ready steps wait, until it is reactivated."""
    Tenant.objects.filter(pk=tenant.pk).update(status=Tenant.Status.SUSPENDED, status_reason=reason)


def tenant_reactivate(tenant: Tenant) -> None:
    """Its keys work again and its ready steps are admitted."""
    Tenant.objects.filter(pk=tenant.pk).update(status=Tenant.Status.ACTIVE, status_reason="")


def api_key_issue(
    *,
    name: str,
    tenant: Tenant | None = None,
    rotated_from: ApiKey | None = None,
    key_id: uuid.UUID | None = None,
) -> IssuedKey:
    """A new key for `tenant`, or an operator's when there is none. Its plaintext cannot be had again.

    A caller that may ask twice for the same key gives it an id of its own; raises KeyIssued the second time.
    """
    plaintext = KEY_PREFIX + secrets.token_urlsafe(32)
    api_key = ApiKey(
        id=key_id or uuid.uuid4(),
        scope=ApiKey.Scope.TENANT if tenant else ApiKey.Scope.OPERATOR,
        tenant=tenant,
        name=name,
        prefix=plaintext[:9],
        key_hash=ApiKey.hash_of(plaintext),
        rotated_from=rotated_from,
    )
    try:
        with transaction.atomic():
            api_key.save(force_insert=True)
    except IntegrityError as error:
        raise KeyIssued("this key has been issued already; issue another one") from error
    return IssuedKey(api_key, plaintext)


def api_key_rotate(
    api_key: ApiKey, *, grace: timedelta = timedelta(0), key_id: uuid.UUID | None = None
) -> IssuedKey:
    """A successor with the same rights; the old key works for `grace` longer at most. Raises KeyIssued."""
    with transaction.atomic():
        issued = api_key_issue(name=api_key.name, tenant=api_key.tenant, rotated_from=api_key, key_id=key_id)
        if grace:
            # One that would expire sooner still does.
            keys = ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=Now() + grace), pk=api_key.pk)
            keys.update(expires_at=Now() + grace)
        else:
            api_key_revoke(api_key)
    return issued


def api_key_revoke(api_key: ApiKey) -> None:
    """The key is refused from now on; revoking twice changes nothing."""
    ApiKey.objects.filter(pk=api_key.pk, revoked_at=None).update(revoked_at=Now())


POOLS = ("shared", "enterprise")
"""Which workers there are to run a tier's steps: those of every queue, or those kept for one pool."""

TIERS: dict[str, dict[str, Any]] = {
    "free": {
        "weight": 1,
        "max_concurrent_steps": 5,
        "requests_per_minute": 60,
        "steps_per_minute": 60,
        "tokens_per_minute": 20_000,
        "session_retention_days": 30,
    },
    "standard": {
        "weight": 4,
        "max_concurrent_steps": 50,
        "requests_per_minute": 600,
        "steps_per_minute": 600,
        "tokens_per_minute": 200_000,
        "session_retention_days": 30,
    },
    "enterprise": {
        "weight": 16,
        "max_concurrent_steps": 200,
        "requests_per_minute": 6_000,
        "steps_per_minute": 6_000,
        "tokens_per_minute": 2_000_000,
        "session_retention_days": 30,
        "pool": "enterprise",
    },
}


def tiers_ensure() -> None:
    """Creates the tiers that are not there yet; what an operator has changed stays."""
    for name, defaults in TIERS.items():
        TenantTier.objects.get_or_create(name=name, defaults=defaults)


def tenants_throttle(percents: Mapping[uuid.UUID, int]) -> int:
    """Leaves these tenants so many percent of their concurrency and rates, and all others the whole; returns how many
    that changes.
    """
    changed = 0
    for percent in sorted(set(percents.values())):
        meant = [tenant_id for tenant_id, own in percents.items() if own == percent]
        others = Tenant.objects.filter(pk__in=meant).filter(
            ~Q(throttle_percent=percent) | Q(throttle_percent=None)
        )
        changed += others.update(throttle_percent=percent)
    freed = Tenant.objects.exclude(throttle_percent=None).exclude(pk__in=list(percents))
    return changed + freed.update(throttle_percent=None)
