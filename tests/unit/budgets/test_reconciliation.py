"""Which differences between the ledger and a provider's bill are differences."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from agentplatform.budgets.reconciliation import (
    Amounts,
    Check,
    Comparison,
    DayOfModel,
    Verdict,
    compare,
    is_clean,
)

MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)
CALLS = Amounts(usd_micros=1_000_000, input_tokens=2_000, output_tokens=500, calls=10)


def on(day: date, amounts: Amounts = CALLS, model: str = "claude-haiku-4-5") -> DayOfModel:
    """A line of either side."""
    return DayOfModel(day, model, amounts)


def verdict(own: Amounts, billed: Amounts, tolerance_percent: float = 0.0) -> Verdict:
    """What is said of one day of one model."""
    day, total = compare([on(MONDAY, own)], [on(MONDAY, billed)], tolerance_percent)
    assert day.verdict is total.verdict
    return day.verdict


def test_the_same_amounts_agree() -> None:
    """However many lines they come in, and with the day of a model's release or without."""
    half = replace(CALLS, usd_micros=500_000, input_tokens=1_000, output_tokens=250, calls=5)
    dated = "claude-haiku-4-5-20251001"
    day, total = compare([on(MONDAY)], [on(MONDAY, half, dated), on(MONDAY, half, dated)])
    assert (day.day, day.model, day.verdict) == (MONDAY, "claude-haiku-4-5", Verdict.AGREES)
    assert (total.day, total.verdict, total.difference_usd_micros) == (None, Verdict.AGREES, 0)


@pytest.mark.parametrize(("beyond", "expected"), [(9, Verdict.AGREES), (10, Verdict.DIFFERS)])
def test_rounding_each_call_makes_no_difference(beyond: int, expected: Verdict) -> None:
    """Ten calls may come to five micro-dollars, and four buckets of a report to as many."""
    assert verdict(replace(CALLS, usd_micros=1_000_000 + beyond), CALLS) is expected


@pytest.mark.parametrize(
    "bucket", ["input_tokens", "output_tokens", "cache_write_tokens", "cache_read_tokens"]
)
def test_tokens_that_differ_are_a_difference_though_the_money_agrees(bucket: str) -> None:
    """In any bucket."""
    assert verdict(CALLS, replace(CALLS, **{bucket: getattr(CALLS, bucket) + 1})) is Verdict.DIFFERS


def test_the_tolerance_is_of_the_larger_side() -> None:
    """For money and tokens alike."""
    less = replace(CALLS, usd_micros=980_000, input_tokens=1_960)
    assert verdict(CALLS, less, 2.0) is Verdict.AGREES
    assert verdict(less, CALLS, 2.0) is Verdict.AGREES
    assert verdict(CALLS, less, 1.9) is Verdict.DIFFERS


def test_a_call_across_midnight_is_on_another_day_and_no_difference() -> None:
    """As long as the model's days together agree."""
    one = Amounts(usd_micros=100_000, input_tokens=200, output_tokens=50)
    less = replace(CALLS, usd_micros=900_000, input_tokens=1_800, output_tokens=450)
    found = compare([on(MONDAY)], [on(MONDAY, less), on(TUESDAY, one)])
    assert [each.verdict for each in found] == [Verdict.SHIFTED, Verdict.SHIFTED, Verdict.AGREES]
    assert is_clean([], found)


def test_what_is_unknown_explains_what_was_billed_less_and_nothing_more() -> None:
    """A worst case is never below the truth."""
    own = replace(CALLS, unknown_usd_micros=300_000)
    assert verdict(own, replace(CALLS, usd_micros=700_000, output_tokens=100)) is Verdict.EXPLAINED
    assert verdict(own, replace(CALLS, usd_micros=699_000)) is Verdict.DIFFERS
    assert verdict(own, replace(CALLS, usd_micros=1_001_000)) is Verdict.DIFFERS


def test_what_is_estimated_explains_a_difference_either_way() -> None:
    """By as much as was estimated."""
    own = replace(CALLS, estimated_usd_micros=50_000)
    for billed in (950_000, 1_050_000):
        assert verdict(own, replace(CALLS, usd_micros=billed)) is Verdict.EXPLAINED
    assert verdict(own, replace(CALLS, usd_micros=1_051_000)) is Verdict.DIFFERS


def test_a_model_that_one_side_does_not_know_differs() -> None:
    """Its share of nothing is not told."""
    found = compare([on(MONDAY, model="a")], [on(MONDAY, model="b")])
    assert [(one.model, one.day) for one in found] == [("a", MONDAY), ("b", MONDAY), ("a", None), ("b", None)]
    assert {one.verdict for one in found} == {Verdict.DIFFERS}
    assert [one.difference_percent for one in found[:2]] == [None, -100.0]


def test_books_are_clean_while_nothing_differs_that_is_not_explained() -> None:
    """In the checks, and in what was billed."""
    explained = Comparison(MONDAY, "m", CALLS, CALLS, Verdict.EXPLAINED)
    assert is_clean([Check("calls", 5, 0)], [explained])
    assert not is_clean([Check("calls", 5, 1)], [explained])
    assert not is_clean([], [explained, replace(explained, verdict=Verdict.DIFFERS)])
