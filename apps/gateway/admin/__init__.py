"""The admin pages of the gateway: calls, batches, tiers, providers, prices, circuits."""

from apps.gateway.admin import batches, circuits, prices, providers, tiers
from apps.gateway.admin.calls import CallAdmin, calls_table

__all__ = ["CallAdmin", "batches", "calls_table", "circuits", "prices", "providers", "tiers"]
