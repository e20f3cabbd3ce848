"""How far answers by meaning are trusted, learned from those that were checked.

After vCache (Schroeder et al., "vCache: Verified Semantic Prompt Caching", 2025): who runs the cache sets how many wrong
answers are put up with, and the threshold follows what is observed. Intervals are exact for a share that was counted
(Clopper and Pearson, Biometrika 26, 1934).

Below the threshold nothing is served, so nothing is seen: what it is lowered by is one short step, and each further one
has to be earned by what that step let in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

WINDOW = 500
"""So many of the latest checks are learned from: models and questions change."""
STEP = 0.01
"""How far the threshold is lowered at a time."""
STEP_RIGHT = 20
"""So many right answers must have been seen within a step above the threshold before it is lowered by another."""
MARGIN = 0.02
"""The answers just above the threshold have to keep to the bound by themselves: those that are surer do not make up for
them."""
LEAST_WRONG = 3
"""With fewer wrong answers nothing is switched off: the threshold has had no time to help."""
CONFIDENCE = 0.95
AIM = 0.5
"""What is aimed at, as a share of the bound: what is counted is itself uncertain, and errors are seen after the fact."""
_RESOLUTION = 0.0001
"""Probabilities are kept with four decimals."""
_BISECTIONS = 40


@dataclass(frozen=True, slots=True)
class Observation:
    """A served answer that was checked: how probable it was said to be right, and whether it was wrong."""

    probability: float
    was_wrong: bool


@dataclass(frozen=True, slots=True)
class ErrorEstimate:
    """The share of wrong answers among those that were checked, with the ends of its 95% interval."""

    checked: int
    wrong: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Lesson:
    """The threshold that holds from now on, the errors there were, and whether there are surely too many.

    `because` says in a sentence why the threshold is where it is, or why nothing is served any more.
    """

    threshold: float
    estimate: ErrorEstimate
    is_switched_off: bool
    because: str


def learn(
    observations: Iterable[Observation],
    *,
    error_bound: float,
    floor: float,
    default: float,
    current: float | None = None,
) -> Lesson:
    """What the latest observations (of one scope, in any order) say of the threshold `current`, or of the default.

    It is raised until of what was checked above it no more than half of `error_bound` was wrong, and just above it no
    more than all of it; half an error is put up with besides, so that the first one counts while there are too few
    checks to make it rare. It is lowered by a step
    where the error rate is surely under the bound, and never below `floor`. More errors never make it lower.
    """
    seen = list(observations)
    start = max(floor, default if current is None else current)
    raised = _raised(seen, start, error_bound)
    threshold = _lowered(seen, start, error_bound, floor) if raised == start else min(raised, 1.0)
    estimate = estimate_of([one for one in seen if one.probability >= min(default, threshold)])
    if estimate.wrong >= LEAST_WRONG and estimate.low > error_bound:
        return Lesson(
            threshold, estimate, True, f"{_told(estimate)}, surely more than {_percent(error_bound)}."
        )
    if raised > 1.0 and estimate.wrong >= LEAST_WRONG:
        return Lesson(threshold, estimate, True, f"{_told(estimate)}, among them such as seemed certain.")
    if threshold > start:
        move = f"raised from {start:.4g} to {threshold:.4g}"
    elif threshold < start:
        move = f"lowered from {start:.4g} to {threshold:.4g}"
    else:
        move = f"left at {start:.4g}"
    return Lesson(threshold, estimate, False, f"{_told(estimate)}: the threshold is {move}.")


def estimate_of(observations: Sequence[Observation]) -> ErrorEstimate:
    """How many were wrong."""
    return estimate_from(len(observations), sum(one.was_wrong for one in observations))


def estimate_from(checked: int, wrong: int) -> ErrorEstimate:
    """The share of wrong ones and its interval, which is from 0 to 1 while none was checked."""
    low, high = clopper_pearson(wrong, checked)
    return ErrorEstimate(checked, wrong, wrong / checked if checked else 0.0, low, high)


@lru_cache(maxsize=4096)
def clopper_pearson(wrong: int, checked: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Both ends of the exact interval of a share, of which `wrong` out of `checked` were seen."""
    tail = (1 - confidence) / 2
    low = 0.0 if wrong == 0 else _share_at(lambda share: 1 - _at_most(wrong - 1, checked, share) < tail)
    high = 1.0 if wrong == checked else _share_at(lambda share: _at_most(wrong, checked, share) > tail)
    return low, high


def _share_at(is_below: Callable[[float], bool]) -> float:
    """The share up to which `is_below` holds."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return low


def _at_most(count: int, checked: int, share: float) -> float:
    """The probability of `count` or fewer (binomial), for a share between 0 and 1."""
    odds, miss = math.log(share), math.log1p(-share)
    return math.fsum(
        math.exp(
            math.lgamma(checked + 1)
            - math.lgamma(k + 1)
            - math.lgamma(checked - k + 1)
            + k * odds
            + (checked - k) * miss
        )
        for k in range(count + 1)
    )


def _raised(seen: Sequence[Observation], start: float, error_bound: float) -> float:
    """The lowest threshold from `start` up above which there are not too many errors; above 1 where there is none."""
    wrong = {one.probability for one in seen if one.was_wrong and one.probability >= start}
    for threshold in (start, *sorted(round(probability + _RESOLUTION, 4) for probability in wrong)):
        checked, errors = _counts(seen, threshold)
        next_checked, next_errors = _counts(seen, threshold, threshold + MARGIN)
        if errors <= 0.5 + checked * AIM * error_bound and next_errors <= 0.5 + next_checked * error_bound:
            return threshold
    raise AssertionError("above the last error there is none")


def _lowered(seen: Sequence[Observation], start: float, error_bound: float, floor: float) -> float:
    right = sum(not one.was_wrong for one in seen if start <= one.probability < start + STEP)
    checked, wrong = _counts(seen, start)
    if right < STEP_RIGHT or _at_most(wrong, checked, error_bound) > 1 - CONFIDENCE:
        return start
    return max(floor, round(start - STEP, 4))


def _counts(seen: Iterable[Observation], threshold: float, below: float = math.inf) -> tuple[int, int]:
    """How many were checked at the threshold or above (but `below`), and how many of them were wrong."""
    above = [one.was_wrong for one in seen if threshold <= one.probability < below]
    return len(above), sum(above)


def _told(estimate: ErrorEstimate) -> str:
    if not estimate.checked:
        return "Nothing was checked yet"
    return (
        f"{estimate.wrong} of {estimate.checked} answers by meaning that were checked were wrong "
        f"(95% interval {_percent(estimate.low)} to {_percent(estimate.high)})"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
