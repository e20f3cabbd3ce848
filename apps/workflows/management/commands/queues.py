"""manage.py queues: how the queues stand, at a terminal."""

import sys
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.table import Table

from apps.console.display import seconds
from apps.workflows.selectors import QueueSignal, queue_signals

COLUMNS = ("queue", "workers", "slots", "free", "ready", "active", "oldest wait", "backlog", "done in")

WIDTH = 100
"""In characters, where there is no terminal to fit."""


class Command(BaseCommand):
    help = "Shows for every queue its slots, its steps, how long they wait, and the work in its backlog."

    def handle(self, *args: Any, **options: Any) -> None:
        table = Table()
        for number, column in enumerate(COLUMNS):
            table.add_column(column, justify="left" if number < 2 else "right", no_wrap=True)
        for signal in queue_signals():
            table.add_row(*_row(signal))
        # Not by self.stdout, which would add a line's end to every piece of the table.
        Console(width=None if sys.stdout.isatty() else WIDTH).print(table)


def _row(signal: QueueSignal) -> list[str]:
    counts = (signal.slots, max(0, signal.free), signal.ready, signal.active)
    times = (signal.oldest_wait_seconds, signal.backlog.work_seconds, signal.backlog.drain_seconds)
    return [
        signal.queue,
        signal.pool,
        *(f"{count:,}" for count in counts),
        *(seconds(time) for time in times),
    ]
