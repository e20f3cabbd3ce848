"""Drift: whether what tasks are like in a window has shifted against a reference.

A measure has shifted when all three hold. A two-sample test finds the difference too great for chance. It is also more
than windows of the reference differ among themselves (agentplatform.profiles.variation). And it matters: the population
stability index is at least LEAST_INDEX, or a share has changed by LEAST_CHANGE. One false alert in a hundred windows is
shared among all measures of a window (Bonferroni).

A window is compared with the reference's windows of about the same time of day, if there are enough of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agentplatform.profiles.observing import Measure, Mix, Observation, Observed, Part, Place, Values, pooled
from agentplatform.profiles.sketch import Sketch, bin_of
from agentplatform.profiles.two_sample import same_distribution, same_share, stability_index
from agentplatform.profiles.variation import near_in_time, unusual

FALSE_ALERTS = 0.006
"""How many windows may alert by chance, as far as the tests know; some is left for what they do not."""

LEAST_INDEX = 0.1
LEAST_INDEX_OF_MIX = 0.03
LEAST_CHANGE = 0.02
LEAST_UNITS = 50
"""With fewer runs a window says nothing."""

LEAST_REFERENCE_UNITS = 200

BINS = 10


@dataclass(frozen=True, slots=True)
class Shift:
    """One measure of a window beside its reference.

    `window` and `reference` are means, or shares; of a mix the share of `moved`, the category that moved most. `index`
    is the population stability index, `p_value` the greater one of the two tests.
    """

    task_type: str
    measure: Measure
    index: float
    p_value: float
    window: float
    reference: float
    moved: str
    units: int
    reference_units: int
    is_drift: bool

    @property
    def place(self) -> Place:
        return self.task_type, self.measure


def shifts(reference: Mapping[datetime, Observation], at: datetime, window: Observation) -> list[Shift]:
    """All measures of the window that begins at `at` which there is enough of, there and in the reference."""
    prepared = []
    for place, observed in window.items():
        known = {start: seen[place] for start, seen in reference.items() if place in seen}
        pool = pooled(near_in_time(known, at))
        if pool is not None and pool.units < LEAST_REFERENCE_UNITS:
            pool = pooled(known.values())
        if pool is not None and pool.units >= LEAST_REFERENCE_UNITS and observed.units >= LEAST_UNITS:
            prepared.append((place, observed, known, pool))
    return [
        _shift(place, at, observed, known, pool, FALSE_ALERTS / len(prepared))
        for place, observed, known, pool in prepared
    ]


def _shift(
    place: Place,
    at: datetime,
    window: Observed,
    known: Mapping[datetime, Observed],
    pool: Observed,
    alpha: float,
) -> Shift:
    bins = _Bins.over([window, pool])
    index = stability_index(bins.counts(pool), bins.counts(window))
    chance, moved, now, before = _compare(window, pool)
    p_value = min(1.0, min(chance.values()) * len(chance))
    matters = _matters(window, index, now - before)
    if matters and p_value < alpha:
        p_value = unusual(at, window, known, chance)
    return Shift(
        task_type=place[0],
        measure=place[1],
        index=index,
        p_value=p_value,
        window=now,
        reference=before,
        moved=moved,
        units=window.units,
        reference_units=pool.units,
        is_drift=matters and p_value < alpha,
    )


def _matters(window: Observed, index: float, change: float) -> bool:
    match window:
        case Part():
            return abs(change) >= LEAST_CHANGE
        case Mix():
            return index >= LEAST_INDEX_OF_MIX
        case Values():
            return index >= LEAST_INDEX


def _compare(window: Observed, pool: Observed) -> tuple[dict[str, float], str, float, float]:
    """p-values of the two-sample test, what moved most, and the window's figure beside the reference's.

    Of a mix each category is tested beside all others, so that a new or a rare one counts.
    """
    match window, pool:
        case Part(), Part():
            p_value = same_share(*window.independent, *pool.independent)
            return {"": p_value}, "", window.share, pool.share
        case Values(), Values():
            p_value = same_distribution(window.sketch, pool.sketch, window.units, pool.units)
            return {"": p_value}, "", window.sketch.mean or 0.0, pool.sketch.mean or 0.0
        case Mix(), Mix():
            parts = {
                name: (window.part(name), pool.part(name)) for name in sorted({*window.counts, *pool.counts})
            }
            moved = max(parts, key=lambda name: abs(parts[name][0].share - parts[name][1].share))
            own, other = parts[moved]
            tested = {
                name: same_share(*one.independent, *two.independent) for name, (one, two) in parts.items()
            }
            return tested, moved, own.share, other.share
    raise TypeError(f"{window} and {pool} are not of one kind")


@dataclass(frozen=True, slots=True)
class _Bins:
    """What observations of one measure are counted over: categories, or values between deciles of all."""

    names: Sequence[str] = ()
    edges: Sequence[int] = ()

    @classmethod
    def over(cls, observed: Sequence[Observed]) -> _Bins:
        whole = pooled(observed)
        if isinstance(whole, Mix):
            return cls(names=sorted(whole.counts))
        if isinstance(whole, Values):
            return cls(edges=_deciles(whole.sketch))
        return cls()

    def counts(self, observed: Observed) -> list[float]:
        """Counts over the bins, in independent units."""
        match observed:
            case Part():
                counts = [observed.part, observed.whole - observed.part]
            case Mix():
                counts = [observed.counts.get(name, 0) for name in self.names]
            case Values():
                counts = [0] * (len(self.edges) + 1)
                counts[0] = observed.sketch.zeros
                for bin_, count in observed.sketch.bins.items():
                    counts[bisect_left(self.edges, bin_)] += count
        total = sum(counts)
        weight = min(1.0, observed.units / total) if total else 0.0
        return [count * weight for count in counts]


def _deciles(sketch: Sketch) -> list[int]:
    quantiles = [sketch.quantile(number / BINS) for number in range(1, BINS)]
    return sorted({bin_ for value in quantiles if value and (bin_ := bin_of(value)) is not None})
