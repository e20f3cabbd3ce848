"""How often answers are wrong, estimated from what was checked."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.llm.caching.error_rates import error_estimate


def at_most(most: int, trials: int, share: float) -> float:
    """The probability of at most so many of so many trials, by its sum."""
    return math.fsum(
        math.comb(trials, count) * share**count * (1 - share) ** (trials - count) for count in range(most + 1)
    )


@given(st.integers(1, 400).flatmap(lambda checked: st.tuples(st.just(checked), st.integers(0, checked))))
def test_the_interval_is_where_each_tail_is_a_fortieth(counts: tuple[int, int]) -> None:
    """As Clopper and Pearson define it, by the binomial sums themselves."""
    checked, wrong = counts
    estimate = error_estimate(checked, wrong)
    assert estimate is not None
    assert 0 <= estimate.low <= estimate.share <= estimate.high <= 1
    if wrong:
        assert 1 - at_most(wrong - 1, checked, estimate.low) == pytest.approx(0.025, abs=1e-7)
    else:
        assert estimate.low == 0
    if wrong < checked:
        assert at_most(wrong, checked, estimate.high) == pytest.approx(0.025, abs=1e-7)
    else:
        assert estimate.high == 1


def test_nothing_checked_says_nothing() -> None:
    """And many checks say much."""
    assert error_estimate(0, 0) is None
    few, many = error_estimate(10, 1), error_estimate(100_000, 10_000)
    assert few is not None
    assert many is not None
    assert few.high - few.low > 0.4
    assert many.high - many.low < 0.004
