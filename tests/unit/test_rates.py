"""Limits per minute."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentplatform.rates import RateDecision


def test_a_whole_minutes_worth_may_be_used_at_once_and_no_more() -> None:
    """Sixty a minute: sixty at the same moment, and the next in a second."""
    used = 0.0
    for number in range(60):
        decision = RateDecision.decide(used_seconds=used, per_minute=60)
        assert decision.allowed
        assert decision.remaining == 59 - number
        used = decision.used_seconds
    refused = RateDecision.decide(used_seconds=used, per_minute=60)
    assert not refused.allowed
    assert (refused.remaining, refused.wait_seconds) == (0, 1.0)
    assert RateDecision.decide(used_seconds=used - 1.0, per_minute=60).allowed


def test_what_costs_more_than_a_minutes_worth_needs_the_whole_allowance() -> None:
    """It is allowed once nothing is used, and is paid off afterwards."""
    assert not RateDecision.decide(used_seconds=0.1, per_minute=100, cost=250).allowed
    decision = RateDecision.decide(used_seconds=0.0, per_minute=100, cost=250)
    assert decision.allowed
    assert (decision.used_seconds, decision.remaining) == (150.0, 0)


@given(
    per_minute=st.integers(1, 10_000),
    steps=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), min_size=1, max_size=60),
)
def test_no_more_is_allowed_than_refills_beside_a_minutes_worth(
    per_minute: int, steps: list[tuple[float, int]]
) -> None:
    """Whatever comes when: over any time, at most the rate times the time, plus one minute's worth (or the largest)."""
    used, elapsed, taken = 0.0, 0.0, 0
    for pause, cost in steps:
        elapsed += pause
        decision = RateDecision.decide(used_seconds=used - pause, per_minute=per_minute, cost=cost)
        used = decision.used_seconds
        if decision.allowed:
            taken += cost
        assert taken <= per_minute * (elapsed + 60) / 60 + max(0, 50 - per_minute) + 1e-6
