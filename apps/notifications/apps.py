from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "apps.notifications"
    verbose_name = "Notifications"

    def ready(self) -> None:
        from apps.console.navigation import badges
        from apps.notifications.selectors import unread_count

        badges["notifications_notice"] = unread_count
