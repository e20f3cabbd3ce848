"""Reads of tenants and their keys."""

from __future__ import annotations

from apps.tenants.models import ApiKey


def api_key_by_plaintext(plaintext: str) -> ApiKey | None:
    """The usable key with this plaintext, with its tenant and tier; None when there is none."""
    return (
        ApiKey.objects.usable()
        .select_related("tenant__tier")
        .filter(key_hash=ApiKey.hash_of(plaintext))
        .first()
    )
