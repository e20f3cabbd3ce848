"""The admin pages of the gateway: calls, batches, tiers, providers, prices, circuits, caching."""

from apps.gateway.admin import batches, caching, circuits, prices, providers, tiers
from apps.gateway.admin.calls import CallAdmin, calls_table

__all__ = ["CallAdmin", "batches", "caching", "calls_table", "circuits", "prices", "providers", "tiers"]
