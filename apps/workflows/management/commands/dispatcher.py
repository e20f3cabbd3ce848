"""manage.py dispatcher: admits steps and sends their hints, until it is stopped."""

import signal
from typing import Any

from django.core.management.base import BaseCommand

from apps.workflows.dispatcher import Dispatcher


class Command(BaseCommand):
    help = "Admits ready steps in fair order, sends their hints, and recovers what was lost. Run two."

    def handle(self, *args: Any, **options: Any) -> None:
        dispatcher = Dispatcher()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: dispatcher.stop())
        dispatcher.run()
