"""The graded actions of a budget: which are in force at what share of its caps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """Which actions are in force, each with those before it."""

    NONE = 0
    ALERT = 1
    DEGRADE = 2
    THROTTLE = 3
    SHUTOFF = 4


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which percent of a cap each action is in force (None: never), and so many points below it ends."""

    alert: int | None = 80
    degrade: int | None = 90
    throttle: int | None = 95
    shutoff: int = 100
    rearm_points: int = 5

    def of(self, level: Level) -> int | None:
        """The percent from which on a level is in force; None: never."""
        return {
            Level.ALERT: self.alert,
            Level.DEGRADE: self.degrade,
            Level.THROTTLE: self.throttle,
            Level.SHUTOFF: self.shutoff,
        }[level]


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a window is used, in percent of each of its caps (None: no such cap).

    `is_exhausted`: it had no room for a call although nothing was in flight, and has had none since.
    """

    money_percent: float | None = None
    token_percent: float | None = None
    is_exhausted: bool = False

    @property
    def percent(self) -> float:
        """That of the cap which is used most."""
        return max(self.money_percent or 0.0, self.token_percent or 0.0)

    @property
    def cap(self) -> str:
        """Which cap that is: money or tokens."""
        return "tokens" if (self.token_percent or 0.0) > (self.money_percent or 0.0) else "money"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The level that holds now, and which actions begin and end with it."""

    level: Level
    begun: tuple[Level, ...] = ()
    ended: tuple[Level, ...] = ()


_ACTIONS = (Level.ALERT, Level.DEGRADE, Level.THROTTLE, Level.SHUTOFF)


def judge(thresholds: Thresholds, usage: Usage, in_force: frozenset[Level]) -> Judgement:
    """Which actions are in force now. One that is ends only `rearm_points` below its threshold (hysteresis).

    What is used up is shut off, whatever its percent: the last call did not fit. It ends when there is room again.
    """
    now = frozenset(level for level in _ACTIONS if _holds(thresholds, usage, level, level in in_force))
    return Judgement(
        level=max(now, default=Level.NONE),
        begun=tuple(sorted(now - in_force)),
        ended=tuple(sorted(in_force - now)),
    )


def _holds(thresholds: Thresholds, usage: Usage, level: Level, is_in_force: bool) -> bool:
    if level is Level.SHUTOFF and usage.is_exhausted:
        return True
    percent = thresholds.of(level)
    if percent is None:
        return False
    if level is Level.SHUTOFF:
        # What is shut off spends nothing: there is room again, or there is not.
        return usage.percent >= percent
    return usage.percent >= (percent - thresholds.rearm_points if is_in_force else percent)
