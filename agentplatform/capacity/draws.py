"""Values to draw from, as they were measured."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

from agentplatform.profiles.sketch import Sketch


@dataclass(frozen=True, slots=True)
class Draw:
    """A distribution: values with cumulative shares up to 1, and its mean and mean of squares."""

    values: tuple[float, ...]
    shares: tuple[float, ...]
    mean: float
    mean_square: float

    @classmethod
    def of(cls, points: Iterable[tuple[float, float]], mean: float | None = None) -> Self:
        """Of (value, weight); with the exact mean, values are scaled to it. Nothing at all is always 0."""
        known = [(value, weight) for value, weight in points if weight > 0] or [(0.0, 1.0)]
        whole = sum(weight for _, weight in known)
        rough = sum(value * weight for value, weight in known) / whole
        scale = mean / rough if mean is not None and rough > 0 else 1.0
        shares = tuple(part / whole for part in accumulate(weight for _, weight in known))
        values = tuple(value * scale for value, _ in known)
        square = sum((value * scale) ** 2 * weight for value, weight in known) / whole
        return cls(values, shares, rough * scale, square)

    @classmethod
    def constant(cls, value: float) -> Self:
        return cls.of([(value, 1.0)])

    @classmethod
    def of_sketch(cls, sketch: Sketch, up_to_share: float = 1.0) -> Self:
        """Of a sketch; or of its lowest values alone, up to a share of them."""
        if up_to_share >= 1.0:
            return cls.of(sketch.points(), sketch.mean)
        left, kept = max(1.0, up_to_share * sketch.count), []
        for value, count in sketch.points():
            kept.append((value, min(float(count), left)))
            left -= count
            if left <= 0:
                break
        return cls.of(kept)

    def draw(self, chance: random.Random) -> float:
        place = bisect_right(self.shares, chance.random())
        return self.values[min(place, len(self.values) - 1)]

    def scaled(self, factor: float) -> Draw:
        return Draw(
            tuple(value * factor for value in self.values),
            self.shares,
            self.mean * factor,
            self.mean_square * factor * factor,
        )

    def with_some(self, share: float, value: float) -> Draw:
        """This one, but with a share of other draws that all are `value`."""
        before, points = 0.0, [(value, share)]
        for own, upto in zip(self.values, self.shares, strict=True):
            points.append((own, (upto - before) * (1 - share)))
            before = upto
        return Draw.of(sorted(points))

    @property
    def squared_variation(self) -> float:
        """The squared coefficient of variation."""
        return max(0.0, self.mean_square / self.mean**2 - 1) if self.mean > 0 else 0.0


def whole_number(chance: random.Random, mean: float) -> int:
    """A whole number beside a mean, which it has."""
    low = int(mean)
    return low + (chance.random() < mean - low)
