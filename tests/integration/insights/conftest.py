"""Ledger entries as if calls had been made when a test needs them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from agentplatform.identifiers import uuid7
from apps.budgets.models import Budget, LedgerEntry
from apps.database import call_function
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
USD = 1_000_000
HIT = {"kind": "cache_hit", "served_tokens": 300, "avoided_usd_micros": 40}
"""Of an entry for an answer that was not bought."""


def this_hour() -> datetime:
    """The start of the present hour."""
    return timezone.now().replace(minute=0, second=0, microsecond=0)


def noon_zone() -> str:
    """A time zone where it is noon now: half a day is behind, and half a day to come, of every window.

    What a pace comes to by the end of a window is another matter in its last minutes.
    """
    hours = 12 - timezone.now().hour
    return f"Etc/GMT{-hours:+d}"  # the signs of these names are POSIX's: west of Greenwich is positive


def midnight() -> datetime:
    """The start of today, UTC."""
    return this_hour().replace(hour=0)


def entry(tenant: Tenant, usd: float = 1.0, at: datetime | None = None, **fields: Any) -> LedgerEntry:
    """One that is not stored yet: a call of `usd` dollars, just now or at another time."""
    return LedgerEntry(
        **{
            "tenant": tenant,
            "tenant_tier": tenant.tier_id,
            "workflow_id": uuid7(),
            "step_id": uuid7(),
            "call_id": uuid7(),
            "attempt": 1,
            "task_type": "answer_question",
            "agent": "answer",
            "tier": "fast",
            "provider": "anthropic",
            "model": "claude-haiku-4-5",
            "input_tokens": 200,
            "output_tokens": 100,
            "price_version": "v1",
            "cost_usd_micros": round(usd * USD),
            "created_at": at or timezone.now(),
            **fields,
        }
    )


def spent(tenant: Tenant, usd: float = 1.0, at: datetime | None = None, **fields: Any) -> LedgerEntry:
    """The same, in the ledger."""
    made = entry(tenant, usd, at, **fields)
    made.save(force_insert=True)
    return made


@pytest.fixture
def tenant(db: None) -> Tenant:
    """A standard tenant, gone with the test's transaction."""
    return tenant_create(name="acme", tier="standard")


@pytest.fixture
def other(db: None) -> Tenant:
    """Another tenant, of another tier."""
    return tenant_create(name="other", tier="enterprise")


@pytest.fixture
def history(tenant: Tenant) -> Callable[..., None]:
    """Fills the hours of `days` before now with `usd_an_hour` each."""

    def fill(days: int, usd_an_hour: float = 1.0, owner: Tenant = tenant, **fields: Any) -> None:
        start = this_hour() - days * DAY
        LedgerEntry.objects.bulk_create(
            entry(owner, usd_an_hour, start + number * HOUR + timedelta(minutes=1), **fields)
            for number in range(24 * days)
        )

    return fill


@pytest.fixture
def budget(tenant: Tenant) -> Callable[..., Budget]:
    """Makes a budget with its present windows; of the tenant, unless another scope is named."""

    def make(name: str = "acme", **fields: Any) -> Budget:
        if "scope" not in fields:
            fields |= {"scope": "tenant", "tenant": tenant}
        made = Budget.objects.create(name=name, **fields)
        call_function(
            "budgets_windows",
            [tenant.pk, tenant.tier_id, made.api_key_id, made.task_type or "answer_question"],
            ["uuid", "text", "uuid", "text"],
        )
        return made

    return make
