"""Mergeable sketches of distributions, whose bins the database can fill.

The bins are DDSketch's (Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", VLDB 2019): bin i holds what lies in (GAMMA**(i - 1), GAMMA**i], so a bin is one logarithm and any quantile
is right to within RELATIVE_ACCURACY of itself, however many sketches were merged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RELATIVE_ACCURACY = 0.02
GAMMA = (1 + RELATIVE_ACCURACY) / (1 - RELATIVE_ACCURACY)
MIN_POSITIVE = 1e-6
"""What is smaller counts as zero."""

ZERO = "zero"
"""The bin of zero, as it is stored."""

_LOG_GAMMA = math.log(GAMMA)


def bin_of(value: float) -> int | None:
    """The bin of a value; None for zero and less."""
    return math.ceil(math.log(value) / _LOG_GAMMA) if value >= MIN_POSITIVE else None


def bin_sql(value: str) -> str:
    """The SQL expression for the bin of an expression, as text: what `bin_of` says."""
    return f"CASE WHEN {value} < {MIN_POSITIVE!r} THEN '{ZERO}' ELSE ceil(ln(({value})::float8) / {_LOG_GAMMA!r})::int::text END"


def value_of(bin_: int) -> float:
    """The value that stands for a bin: no value in it is further off than RELATIVE_ACCURACY."""
    return float(2 * GAMMA**bin_ / (1 + GAMMA))


@dataclass(slots=True)
class Sketch:
    """Counts by bin, and of all values the sum, the lowest and the highest. Values are not negative."""

    bins: dict[int, int] = field(default_factory=dict)
    zeros: int = 0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    @classmethod
    def of(cls, values: Iterable[float]) -> Sketch:
        made = cls()
        for value in values:
            made.add(value)
        return made

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Sketch:
        """The sketch that `to_json`, or the database, wrote."""
        bins = {int(bin_): int(count) for bin_, count in stored["bins"].items() if bin_ != ZERO}
        zeros = int(stored["bins"].get(ZERO, 0))
        return cls(bins, zeros, float(stored["total"]), float(stored["low"]), float(stored["high"]))

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal sketch; only of one that holds something."""
        bins = {str(bin_): count for bin_, count in sorted(self.bins.items())}
        if self.zeros:
            bins[ZERO] = self.zeros
        return {"bins": bins, "total": self.total, "low": self.low, "high": self.high}

    def add(self, value: float, count: int = 1) -> None:
        bin_ = bin_of(value)
        if bin_ is None:
            self.zeros += count
        else:
            self.bins[bin_] = self.bins.get(bin_, 0) + count
        self.total += value * count
        self.low, self.high = min(self.low, value), max(self.high, value)

    def merge(self, other: Sketch) -> None:
        """Adds all that another holds."""
        for bin_, count in other.bins.items():
            self.bins[bin_] = self.bins.get(bin_, 0) + count
        self.zeros += other.zeros
        self.total += other.total
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    @property
    def count(self) -> int:
        return self.zeros + sum(self.bins.values())

    @property
    def mean(self) -> float | None:
        count = self.count
        return self.total / count if count else None

    def quantile(self, share: float) -> float | None:
        """The value that `share` (0 to 1) of all are at or below; None of an empty sketch."""
        count = self.count
        if not count:
            return None
        rank = share * (count - 1)
        passed = 0
        for value, here in self.points():
            passed += here
            if passed > rank:
                return min(max(value, self.low), self.high)
        return self.high

    def points(self) -> Iterator[tuple[float, int]]:
        """(value, count) of each bin, from the lowest up: what a simulation draws from."""
        if self.zeros:
            yield 0.0, self.zeros
        for bin_ in sorted(self.bins):
            yield value_of(bin_), self.bins[bin_]

    def counts_between(self, edges: Sequence[float]) -> list[int]:
        """How many lie up to the first edge, between each two, and beyond the last; edges ascend."""
        counts = [0] * (len(edges) + 1)
        place = 0
        for value, here in self.points():
            while place < len(edges) and value > edges[place]:
                place += 1
            counts[place] += here
        return counts


def merged(sketches: Iterable[Sketch]) -> Sketch:
    """All in one."""
    whole = Sketch()
    for sketch in sketches:
        whole.merge(sketch)
    return whole
