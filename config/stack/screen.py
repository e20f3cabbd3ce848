"""What a person sees: steps with their time, on a terminal with a spinner, elsewhere as plain lines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status


class Screen:
    """Writes to standard output. ``say`` may be called at any time; it belongs to the step that is under way."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.marks = ("ok", "FAILED") if self.console.options.ascii_only else ("✓", "✗")
        self._status: Status | None = None
        self._title = ""
        self._said = ""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show ``title`` while the block runs, then how long it took, or that it failed."""
        started_at = time.monotonic()
        self._title, self._said = title, ""
        done, failed = self.marks
        if self.console.is_terminal:
            self._status = self.console.status(escape(title))
            self._status.start()
        else:
            self.line(f"{title} ...")
        try:
            yield
        except BaseException:
            self._end_status()
            self.console.print(f"[red]{failed}[/red] {escape(title)}")
            raise
        self._end_status()
        self.console.print(
            f"[green]{done}[/green] {escape(title)} [dim]{time.monotonic() - started_at:.1f} s[/dim]"
        )

    def say(self, message: str) -> None:
        """What the step is at. Repeats are shown once."""
        if message == self._said:
            return
        self._said = message
        if self._status:
            self._status.update(f"{escape(self._title)} [dim]({escape(message)})[/dim]")
        else:
            self.line(f"  {message}")

    def line(self, text: str = "") -> None:
        """One line as it is, brackets included."""
        self.console.print(text, markup=False)

    def _end_status(self) -> None:
        if self._status:
            self._status.stop()
            self._status = None
