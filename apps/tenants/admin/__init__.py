"""Admin pages of tenants, their tiers, their keys, and of the people who use the admin."""

from apps.tenants.admin import api_keys, people, tenants, tiers

__all__ = ["api_keys", "people", "tenants", "tiers"]
