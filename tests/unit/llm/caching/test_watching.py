"""The threshold of answers by meaning follows what is observed, and the share of wrong answers stays under its bound."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.llm.caching.watching import (
    AIM,
    STEP,
    WINDOW,
    Lesson,
    Observation,
    clopper_pearson,
    estimate_of,
    learn,
)

FLOOR, DEFAULT, BOUND = 0.8, 0.9, 0.01


def lesson(seen: list[Observation], current: float | None = None, bound: float = BOUND) -> Lesson:
    return learn(seen, error_bound=bound, floor=FLOOR, default=DEFAULT, current=current)


def right(count: int, probability: float = 0.905) -> list[Observation]:
    return [Observation(probability, False)] * count


def wrong(*probabilities: float) -> list[Observation]:
    return [Observation(probability, True) for probability in probabilities]


probabilities = st.integers(8_000, 10_000).map(lambda number: number / 10_000)
observations = st.lists(st.builds(Observation, probabilities, st.booleans()), max_size=60)


def drawn(seed: int) -> list[Observation]:
    """Some hundreds, of which a few are wrong."""
    chance = random.Random(seed)
    share = chance.choice((0.0, 0.003, 0.02))
    return [
        Observation(chance.randint(8_000, 10_000) / 10_000, chance.random() < share)
        for _ in range(chance.randint(100, WINDOW))
    ]


mostly_right = st.integers(0, 2**32).map(drawn)


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 10, 0.0, 0.3085),
        (1, 20, 0.0013, 0.2487),
        (10, 10, 0.6915, 1.0),
        (5, 500, 0.0033, 0.0232),
    ],
)
def test_intervals_are_those_of_the_tables(count: int, of: int, low: float, high: float) -> None:
    """To four decimals."""
    assert clopper_pearson(count, of) == pytest.approx((low, high), abs=0.0001)


@given(observations | mostly_right, probabilities | st.none())
def test_the_threshold_is_never_below_the_floor_nor_above_one(
    seen: list[Observation], current: float | None
) -> None:
    """Whatever is seen; and it comes down by a step at most."""
    threshold = lesson(seen, current).threshold
    assert FLOOR <= threshold <= 1
    assert threshold >= (DEFAULT if current is None else current) - STEP - 1e-9


@given(observations | mostly_right, probabilities | st.none(), st.data())
def test_more_errors_never_lower_the_threshold(
    seen: list[Observation], current: float | None, data: st.DataObject
) -> None:
    """Neither one that was taken for right, nor one more."""
    before = lesson(seen, current)
    more = [*seen, Observation(data.draw(probabilities), True)]
    assert lesson(more, current).threshold >= before.threshold
    if seen:
        place = data.draw(st.integers(0, len(seen) - 1))
        flipped = [*seen]
        flipped[place] = replace(flipped[place], was_wrong=True)
        assert lesson(flipped, current).threshold >= before.threshold


@given(observations, probabilities)
def test_of_what_was_checked_above_the_threshold_no_more_is_wrong_than_put_up_with(
    seen: list[Observation], current: float
) -> None:
    """But for the first error's grace; where even the surest were wrong, nothing is left to serve."""
    threshold = lesson(seen, current).threshold
    above = estimate_of([one for one in seen if one.probability >= threshold])
    assert threshold == 1 or above.wrong <= 0.5 + above.checked * AIM * BOUND


def test_a_wrong_answer_raises_the_threshold_above_it() -> None:
    """Until enough were right that one is not too many."""
    assert lesson([*right(10), *wrong(0.93)]).threshold == 0.9301
    assert lesson([*right(100), *wrong(0.93)]).threshold == DEFAULT


def test_without_evidence_the_threshold_is_not_lowered() -> None:
    """A few right answers are none; nor are many that are all more alike."""
    assert lesson(right(298)).threshold == DEFAULT
    assert lesson(right(299)).threshold == DEFAULT - STEP
    assert lesson([*right(480, 0.95), *right(19)]).threshold == DEFAULT
    assert lesson(right(WINDOW, FLOOR + STEP), current=FLOOR + STEP / 2).threshold == FLOOR


def test_surely_too_many_errors_switch_it_off_and_it_says_why() -> None:
    """Two are not enough to be sure."""
    assert not lesson([*right(10), *wrong(0.91, 0.92)]).is_switched_off
    told = lesson([*right(37), *wrong(0.91, 0.92, 0.93)])
    assert told.is_switched_off
    assert told.because == (
        "3 of 40 answers by meaning that were checked were wrong (95% interval 1.57% to 20.4%), surely more than 1%."
    )
    assert not lesson([*right(300), *wrong(0.91, 0.92, 0.93)]).is_switched_off


def test_errors_of_what_seemed_certain_switch_it_off() -> None:
    """No threshold is above them."""
    told = lesson([*right(200), *wrong(1.0, 1.0, 1.0)])
    assert (told.threshold, told.is_switched_off) == (1.0, True)


def test_what_budgets_have_let_through_below_the_default_switches_nothing_off() -> None:
    """It was served labelled, in place of nothing."""
    told = lesson([*right(20), *wrong(0.81, 0.82, 0.83, 0.84)])
    assert (told.threshold, told.is_switched_off, told.estimate.wrong) == (DEFAULT, False, 0)


@dataclass
class Stream:
    """Questions whose nearest answer is as probable as chance will have it, and wrong as the curve says."""

    error_at: Callable[[float], float]
    random: random.Random
    threshold: float | None = None
    is_off: bool = False
    served: list[bool] = field(default_factory=list)
    seen: deque[Observation] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def ask(self, count: int, checked_share: float = 0.25) -> int:
        """Asks so many questions; returns how many were answered by meaning."""
        before = len(self.served)
        for _ in range(count):
            probability = round(self.random.uniform(FLOOR, 1), 4)
            if self.is_off or probability < (DEFAULT if self.threshold is None else self.threshold):
                continue
            is_wrong = self.random.random() < self.error_at(probability)
            self.served.append(is_wrong)
            if self.random.random() < checked_share:
                self.seen.append(Observation(probability, is_wrong))
                if not is_wrong and len(self.served) % 4:
                    continue  # what is right changes little: the test is quicker for it
                told = lesson(list(self.seen), self.threshold)
                self.threshold, self.is_off = told.threshold, told.is_switched_off
        return len(self.served) - before

    @property
    def error_rate(self) -> float:
        return sum(self.served) / len(self.served)


def overconfident(probability: float) -> float:
    """Three in a hundred wrong below 0.95, next to none above."""
    return 0.03 if probability < 0.95 else 0.001


def test_where_the_scorer_is_overconfident_the_error_rate_comes_under_the_bound() -> None:
    """At the default nearly two in a hundred would be wrong. Over ten streams: a short one may have bad luck."""
    streams = [Stream(overconfident, random.Random(seed)) for seed in range(10)]
    later: list[bool] = []
    for stream in streams:
        stream.ask(4_000)
        learned = len(stream.served)
        stream.ask(4_000)
        later += stream.served[learned:]
        assert stream.is_off or (stream.threshold or 0) > DEFAULT
    assert len(later) > 3_000
    assert sum(later) / len(later) <= BOUND


@pytest.mark.parametrize("seed", range(3))
def test_where_answers_are_right_more_and_more_are_served(seed: int) -> None:
    """The threshold goes down step by step, and the error rate stays under the bound."""
    stream = Stream(lambda probability: 0.0002, random.Random(seed))
    first = stream.ask(1_500, checked_share=0.5)
    stream.ask(6_000, checked_share=0.5)
    last = stream.ask(1_500)
    assert last > 1.3 * first
    assert (stream.threshold or 1) <= DEFAULT - 4 * STEP
    assert stream.error_rate <= BOUND


@pytest.mark.parametrize("seed", range(3))
def test_where_what_is_less_alike_is_wrong_the_threshold_stays_above_it(seed: int) -> None:
    """It feels its way down, and is turned back."""
    stream = Stream(lambda probability: 0.2 if probability < 0.86 else 0.0005, random.Random(seed))
    stream.ask(10_000)
    assert stream.error_rate <= BOUND
    assert stream.is_off or (stream.threshold or 0) > 0.84
