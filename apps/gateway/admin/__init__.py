"""The admin pages of the gateway: calls, tiers, providers, prices, circuits."""

from apps.gateway.admin import circuits, prices, providers, tiers
from apps.gateway.admin.calls import CallAdmin, calls_table

__all__ = ["CallAdmin", "calls_table", "circuits", "prices", "providers", "tiers"]
