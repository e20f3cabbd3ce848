"""How routers are measured, on examples that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from agentplatform.llm.routing.metrics import saved_by_blind_mix, saved_with_tiers, two_models

WEAK = np.array([1.0] * 6 + [0.0] * 4)
STRONG = np.ones(10)


def test_an_oracle_recovers_everything_with_the_calls_that_need_it() -> None:
    """Four of ten need the strong model: PGR is 0, 1/4, 1/2, 3/4, 1, 1, … and its area .8."""
    found = two_models(1 - WEAK, WEAK, STRONG)
    assert found.apgr == pytest.approx(0.8)
    assert found.cpt50 == pytest.approx(0.2)
    assert found.cpt80 == pytest.approx(0.32)
    # 95% of 1.0 is 87.5% of the gap: 35% of the calls at 10 and 65% at 1.
    assert found.saved == pytest.approx(1 - (0.35 * 10 + 0.65) / 10)


def test_a_score_that_says_nothing_is_worth_a_half() -> None:
    """Equal scores share the gain evenly, whatever the order of the rows."""
    for order in (slice(None), slice(None, None, -1)):
        found = two_models(np.zeros(10), WEAK[order], STRONG[order])
        assert found.apgr == pytest.approx(0.5)
        assert found.cpt50 == pytest.approx(0.5)


def test_the_wrong_order_is_worth_less_than_chance() -> None:
    """Sending first what needs it least."""
    assert two_models(WEAK, WEAK, STRONG).apgr == pytest.approx(0.2)


def test_three_tiers_save_what_two_thresholds_can_save() -> None:
    """Half is answered by the first tier, a quarter by the second, a quarter by the third alone."""
    quality = np.array([[1, 1, 1]] * 20 + [[0, 1, 1]] * 10 + [[0, 0, 1]] * 10, dtype=float)
    cost = np.tile([1.0, 4.0, 20.0], (40, 1))
    scores = np.arange(40, dtype=float)
    # At 95% two of the hardest ten may fail: they stay on the cheapest tier that the thresholds allow, the second.
    spent = 20 * 1 + 12 * 4 + 8 * 20
    assert saved_with_tiers(scores, quality, cost) == pytest.approx(1 - spent / 800)
    assert saved_with_tiers(np.zeros(40), quality, cost) < saved_with_tiers(scores, quality, cost)


def test_a_blind_mix_is_the_cheapest_line_between_two_models() -> None:
    """Quality .5, .9 and 1.0 at 1, 4 and 20: .95 is half of the second and half of the third."""
    quality = np.array([[1, 1, 1]] * 5 + [[0, 1, 1]] * 4 + [[0, 0, 1]], dtype=float)
    cost = np.tile([1.0, 4.0, 20.0], (10, 1))
    assert saved_by_blind_mix(quality, cost) == pytest.approx(1 - 12 / 20)
