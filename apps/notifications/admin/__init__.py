"""The admin pages of notices, of those who are told, and of what was sent to them."""

from apps.notifications.admin import deliveries, endpoints, notices, recipients

__all__ = ["deliveries", "endpoints", "notices", "recipients"]
