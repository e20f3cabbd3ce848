"""Limits per minute by the generic cell rate algorithm (ITU-T I.371): one time for each limit, and no window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

MINUTE_SECONDS = 60.0
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class RateDecision:
    """Whether something may be done now, under a limit of `per_minute`.

    `used_seconds` is how long until the whole allowance is there again, and `wait_seconds` how long until there is
    room (0 when it is allowed).
    """

    per_minute: int
    allowed: bool
    used_seconds: float
    wait_seconds: float

    @property
    def remaining(self) -> int:
        """How much more may be done at once."""
        left = (MINUTE_SECONDS - self.used_seconds) * self.per_minute / MINUTE_SECONDS
        return max(0, int(left + _TOLERANCE))

    @classmethod
    def decide(cls, *, used_seconds: float, per_minute: int, cost: float = 1.0) -> Self:
        """Whether `cost` more may be used, when the allowance would be whole again in `used_seconds`.

        It refills evenly, and a whole minute's worth may be used at once. What costs more than that needs the whole
        allowance.
        """
        used_seconds = max(0.0, used_seconds)
        cost_seconds = MINUTE_SECONDS * cost / per_minute
        wait_seconds = used_seconds - max(0.0, MINUTE_SECONDS - cost_seconds)
        if wait_seconds > _TOLERANCE:
            return cls(per_minute, False, used_seconds, wait_seconds)
        return cls(per_minute, True, used_seconds + cost_seconds, 0.0)
