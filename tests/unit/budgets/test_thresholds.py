"""Graded actions: each begins at its threshold and ends some points below it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentplatform.budgets.thresholds import Judgement, Level, Thresholds, Usage, judge
from agentplatform.llm.restraint import UNRESTRAINED, Restraint
from agentplatform.llm.tiers import Tier

NOTHING: frozenset[Level] = frozenset()
DEFAULTS = Thresholds()
ALL = frozenset({Level.ALERT, Level.DEGRADE, Level.THROTTLE, Level.SHUTOFF})


def at(percent: float, *in_force: Level, thresholds: Thresholds = DEFAULTS) -> Judgement:
    """The judgement on a window of which so much of its money is used."""
    return judge(thresholds, Usage(money_percent=percent), frozenset(in_force))


def test_each_action_begins_at_its_threshold() -> None:
    """Those that were jumped over begin too."""
    assert at(79.9) == Judgement(Level.NONE)
    assert at(80.0) == Judgement(Level.ALERT, begun=(Level.ALERT,))
    assert at(95.0, Level.ALERT) == Judgement(Level.THROTTLE, begun=(Level.DEGRADE, Level.THROTTLE))
    assert at(100.0).begun == (Level.ALERT, Level.DEGRADE, Level.THROTTLE, Level.SHUTOFF)


def test_an_action_ends_only_some_points_below() -> None:
    """So that it does not flicker."""
    assert at(85.0, Level.ALERT, Level.DEGRADE).ended == ()
    assert at(84.9, Level.ALERT, Level.DEGRADE) == Judgement(Level.ALERT, ended=(Level.DEGRADE,))
    assert at(74.9, Level.ALERT).level is Level.NONE


def test_an_action_may_never_begin() -> None:
    """Where an operator has left its threshold empty."""
    told = at(99.0, thresholds=Thresholds(alert=None, degrade=None))
    assert told == Judgement(Level.THROTTLE, begun=(Level.THROTTLE,))


def test_what_is_exhausted_is_shut_off_whatever_its_percent() -> None:
    """The last call did not fit; and it ends as soon as there is room."""
    exhausted = judge(Thresholds(), Usage(money_percent=97.0, is_exhausted=True), NOTHING)
    assert exhausted.level is Level.SHUTOFF
    assert at(97.0, *ALL) == Judgement(Level.THROTTLE, ended=(Level.SHUTOFF,))


def test_the_cap_that_is_used_most_counts() -> None:
    """Money or tokens."""
    usage = Usage(money_percent=10.0, token_percent=91.0)
    assert (usage.percent, usage.cap) == (91.0, "tokens")
    assert judge(Thresholds(), usage, NOTHING).level is Level.DEGRADE


@given(st.lists(st.floats(0, 120), max_size=20))
def test_judging_again_changes_nothing_and_levels_only_grow_with_usage(percents: list[float]) -> None:
    """Whatever came before."""
    in_force = NOTHING
    for percent in percents:
        told = at(percent, *in_force)
        in_force = (in_force | set(told.begun)) - set(told.ended)
        again = at(percent, *in_force)
        assert again == Judgement(told.level)
        assert at(percent + 1, *in_force).level >= told.level


def test_a_degraded_call_goes_one_tier_lower_and_a_throttled_one_to_the_lowest() -> None:
    """But not below what its definition can do with, and nothing is raised."""
    degraded, throttled = Restraint(Level.DEGRADE, "b"), Restraint(Level.THROTTLE, "b")
    assert UNRESTRAINED.tier_for(Tier.POWERFUL, None) is Tier.POWERFUL
    assert Restraint(Level.ALERT, "b").tier_for(Tier.POWERFUL, None) is Tier.POWERFUL
    assert degraded.tier_for(Tier.POWERFUL, None) is Tier.BALANCED
    assert degraded.tier_for(Tier.FAST, None) is Tier.FAST
    assert throttled.tier_for(Tier.POWERFUL, None) is Tier.FAST
    assert throttled.tier_for(Tier.POWERFUL, Tier.BALANCED) is Tier.BALANCED
    assert throttled.tier_for(Tier.FAST, Tier.BALANCED) is Tier.FAST
