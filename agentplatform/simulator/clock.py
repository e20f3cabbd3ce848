"""The simulator's time, which tests may move forward."""

import time
from datetime import UTC, datetime, timedelta


class SimulatedClock:
    """Real time plus what it was advanced by. Limits, caches, batches and scripted faults go by it."""

    def __init__(self) -> None:
        self._advanced_seconds = 0.0

    @property
    def advanced_seconds(self) -> float:
        """Seconds this clock is ahead of the real one."""
        return self._advanced_seconds

    def monotonic(self) -> float:
        """Return seconds that never go back, for durations."""
        return time.monotonic() + self._advanced_seconds

    def now(self) -> datetime:
        """Return the simulated time of day in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self._advanced_seconds)

    def unix_seconds(self) -> float:
        """Return the simulated time of day as Unix time."""
        return time.time() + self._advanced_seconds

    def advance(self, seconds: float) -> None:
        """Move the clock forward. It is never moved back, since what has expired stays expired."""
        self._advanced_seconds += seconds
