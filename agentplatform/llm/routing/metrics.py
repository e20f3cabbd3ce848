"""How good a router is: what its order of requests is worth when a share of them goes to stronger models.

Source of the definitions: I. Ong et al., RouteLLM: Learning to Route LLMs with Preference Data, 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
BINS = 10
STRONG_TO_WEAK = 10.0
"""A strong model's price over a weak one's, for what is saved between two models."""
KEPT = 0.95
GRID = 40
"""Three tiers are tried with thresholds at so many steps."""


@dataclass(frozen=True, slots=True)
class TwoModels:
    """`apgr`: area under the share of the quality gap that is recovered. `cpt50`, `cpt80`: the least share of calls that
    recovers so many percent of it. `saved`: cost saved at 95% of the strong model's accuracy. All of them shares."""

    apgr: float
    cpt50: float
    cpt80: float
    saved: float


def two_models(scores: Doubles, weak: Doubles, strong: Doubles) -> TwoModels:
    """Sends the highest scores to the strong model first, over ten bins. Equal scores share their gain evenly."""
    shares = np.linspace(0, 1, BINS + 1)
    reached = _accuracy(scores, weak, strong, shares)
    low, high = float(weak.mean()), float(strong.mean())
    recovered = (reached - low) / (high - low)
    needed = _least_share(shares, recovered, (KEPT * high - low) / (high - low))
    return TwoModels(
        apgr=float(np.trapezoid(recovered, shares)),
        cpt50=_least_share(shares, recovered, 0.5),
        cpt80=_least_share(shares, recovered, 0.8),
        saved=1 - (needed * STRONG_TO_WEAK + 1 - needed) / STRONG_TO_WEAK,
    )


def _accuracy(scores: Doubles, weak: Doubles, strong: Doubles, shares: Doubles) -> Doubles:
    order = np.argsort(-scores, kind="stable")
    gain = _evened((strong - weak)[order], scores[order])
    collected = np.concatenate([[0.0], np.cumsum(gain)])
    places = shares * len(scores)
    reached: Doubles = weak.sum() + np.interp(places, np.arange(len(scores) + 1), collected)
    return reached / len(scores)


def _evened(values: Doubles, scores: Doubles) -> Doubles:
    """Values in the order of scores, each replaced by the mean of those with an equal score."""
    _, groups = np.unique(-scores, return_inverse=True)
    evened: Doubles = (np.bincount(groups, weights=values) / np.bincount(groups))[groups]
    return evened


def _least_share(shares: Doubles, recovered: Doubles, wanted: float) -> float:
    enough = np.flatnonzero(recovered >= wanted - 1e-12)
    if len(enough) == 0:
        return 1.0
    place = int(enough[0])
    if place == 0:
        return 0.0
    below, above = recovered[place - 1], recovered[place]
    return float(shares[place - 1] + (wanted - below) / (above - below) * (shares[place] - shares[place - 1]))


def saved_with_tiers(scores: Doubles, quality: Doubles, cost: Doubles, kept: float = KEPT) -> float:
    """What two thresholds on the scores save at `kept` of the last tier's quality, against sending all to it.

    `quality` and `cost` have the shape (requests, 3), from the weakest tier to the strongest. The thresholds are the best
    for these requests, as the mix of `saved_by_blind_mix` is, which it is compared with.
    """
    return _best_steps(scores, quality, cost, kept)[0]


def thresholds_for_tiers(
    scores: Doubles, quality: Doubles, cost: Doubles, kept: float = KEPT
) -> tuple[float, float]:
    """The highest score of the first tier and of the second with which `saved_with_tiers` saves most."""
    _, first, second = _best_steps(scores, quality, cost, kept)
    low, high = np.quantile(scores, [first / GRID, second / GRID])
    return (float(low) if first else -np.inf), (float(high) if second else -np.inf)


def _best_steps(scores: Doubles, quality: Doubles, cost: Doubles, kept: float) -> tuple[float, int, int]:
    order = np.argsort(scores, kind="stable")
    total_quality = _cumulated(quality, order, scores)
    total_cost = _cumulated(cost, order, scores)
    dearest, wanted = float(cost[:, 2].sum()), kept * quality[:, 2].sum()
    best = (dearest, 0, 0)
    for first in range(GRID + 1):
        seconds = np.arange(first, GRID + 1)
        got = _split(total_quality, first, seconds)
        paid = np.where(got >= wanted - 1e-9, _split(total_cost, first, seconds), np.inf)
        place = int(paid.argmin())
        best = min(best, (float(paid[place]), first, first + place))
    return 1 - best[0] / dearest, best[1], best[2]


def _cumulated(values: Doubles, order: npt.NDArray[np.int64], scores: Doubles) -> Doubles:
    """Running sums per tier at GRID + 1 equal steps, from the lowest score on; shape (steps, tiers)."""
    places = np.linspace(0, len(order), GRID + 1)
    columns = []
    for tier in range(values.shape[1]):
        evened = _evened(values[order, tier][::-1], scores[order][::-1])[::-1]
        sums = np.concatenate([[0.0], np.cumsum(evened)])
        columns.append(np.interp(places, np.arange(len(order) + 1), sums))
    return np.stack(columns, axis=1)


def _split(sums: Doubles, first: int, seconds: npt.NDArray[np.int64]) -> Doubles:
    """The total when the lowest go to tier 0 up to step `first`, then to tier 1 up to each of `seconds`, then to tier 2."""
    split: Doubles = sums[first, 0] + sums[seconds, 1] - sums[first, 1] + sums[-1, 2] - sums[seconds, 2]
    return split


def saved_by_blind_mix(quality: Doubles, cost: Doubles, kept: float = KEPT) -> float:
    """What the best random mix of models saves at `kept` of the last one's quality. Shape (requests, models)."""
    means, prices = quality.mean(axis=0), cost.mean(axis=0)
    wanted = kept * means[-1]
    best = prices[-1]
    for low in range(len(means)):
        for high in range(len(means)):
            if means[low] >= wanted:
                best = min(best, prices[low])
            elif means[high] >= wanted:
                share = (wanted - means[low]) / (means[high] - means[low])
                best = min(best, share * prices[high] + (1 - share) * prices[low])
    return float(1 - best / prices[-1])


def quantile_of(values: Sequence[float], share: float) -> float:
    """A quantile of measured values."""
    return float(np.quantile(np.asarray(values, dtype=np.float64), share))
