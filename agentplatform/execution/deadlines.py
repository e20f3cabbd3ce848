"""Deadlines that are absolute and inherited, counted on the monotonic clock."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time on this process's monotonic clock. The database says how many seconds are left."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    @property
    def seconds_left(self) -> float:
        return self.at - time.monotonic()

    @property
    def has_passed(self) -> bool:
        return self.seconds_left <= 0

    def sooner(self, seconds: float) -> Deadline:
        """This deadline, or the one `seconds` from now, whichever comes first: a hop inherits the smaller."""
        return min(self, Deadline.after(seconds), key=lambda deadline: deadline.at)
