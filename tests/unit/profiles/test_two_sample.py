"""Tests of two samples, and the stability index, beside values that are known."""

from __future__ import annotations

import math
import random

import pytest

from agentplatform.profiles.sketch import Sketch
from agentplatform.profiles.two_sample import same_distribution, same_share, stability_index


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        # Twice the tail of the hypergeometric distribution, added up by hand with exact fractions.
        (
            (1, 10, 11, 14),
            2 * sum(math.comb(10, k) * math.comb(14, 12 - k) for k in (0, 1)) / math.comb(24, 12),
        ),
        (
            (8, 100, 12, 3000),
            2 * sum(math.comb(100, k) * math.comb(3000, 20 - k) for k in range(8, 21)) / math.comb(3100, 20),
        ),
        ((5, 10, 50, 100), 1.0),
        ((0, 10, 0, 100), 1.0),
    ],
)
def test_shares_are_compared_exactly(sample: tuple[int, int, int, int], expected: float) -> None:
    """By Fisher's test, rare things and small samples included."""
    assert same_share(*sample) == pytest.approx(expected, rel=1e-9)


def test_large_shares_are_compared_without_overflow() -> None:
    """A difference that is certain has no probability left, and none that is missing has all."""
    assert same_share(300_000, 1_000_000, 3_100_000, 10_000_000) < 1e-60
    assert same_share(310_000, 1_000_000, 3_100_000, 10_000_000) > 0.9


def test_one_population_gives_even_p_values() -> None:
    """One in twenty is below 0.05, or fewer: bins bring distributions closer."""
    chance = random.Random(5)

    def sample(count: int, median: float = 1.0) -> Sketch:
        return Sketch.of(median * chance.lognormvariate(0, 0.6) for _ in range(count))

    reference = sample(3_000)
    small = [same_distribution(sample(100), reference, 100, 3_000) for _ in range(300)]
    assert 0.01 < sum(one < 0.05 for one in small) / 300 < 0.08
    assert same_distribution(sample(100, 1.5), reference, 100, 3_000) < 1e-4
    assert same_distribution(sample(1_000, 1.5), reference, 3, 3_000) > 0.05  # of three runs only
    assert same_distribution(Sketch(), reference, 0, 3_000) == 1.0


def test_the_stability_index_is_that_of_the_shares() -> None:
    """Less what chance adds: of two samples of one population it is about nothing."""
    assert stability_index([5_000_000, 5_000_000], [7_000_000, 3_000_000]) == pytest.approx(
        0.2 * math.log(0.7 / 0.5) - 0.2 * math.log(0.3 / 0.5), rel=1e-3
    )
    chance = random.Random(3)
    reference = [1_000] * 10

    def window(count: int) -> list[float]:
        drawn = chance.choices(range(10), k=count)
        return [drawn.count(number) for number in range(10)]

    indexes = [stability_index(reference, window(200)) for _ in range(200)]
    assert sum(indexes) / 200 < 0.02
    assert stability_index([0, 0], [1, 2]) == 0.0
