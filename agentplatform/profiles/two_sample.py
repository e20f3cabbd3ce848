"""Whether two samples are of one population, and how far apart they are: tests and the population stability index."""

from __future__ import annotations

import math
from collections.abc import Sequence

from agentplatform.profiles.sketch import Sketch

_PSEUDO_COUNT = 0.5


def stability_index(reference: Sequence[float], window: Sequence[float]) -> float:
    """The population stability index of two rows of counts over the same bins, less what chance alone adds to it.

    The sum of (p - q) ln(p / q) over the bins' shares; two samples of n and m of one population have about
    (bins - 1)(1/n + 1/m) of it, which is taken off. By custom less than 0.1 is no shift, and more than 0.25 a large one.
    """
    m, n, bins = sum(reference), sum(window), len(reference)
    if not m or not n:
        return 0.0
    index = 0.0
    for before, now in zip(reference, window, strict=True):
        p = (now + _PSEUDO_COUNT) / (n + _PSEUDO_COUNT * bins)
        q = (before + _PSEUDO_COUNT) / (m + _PSEUDO_COUNT * bins)
        index += (p - q) * math.log(p / q)
    return max(0.0, index - (bins - 1) * (1 / n + 1 / m))


def same_share(part: int, whole: int, reference_part: int, reference_whole: int) -> float:
    """How likely shares so far apart, or further, are of one population: Fisher's exact test, two-sided.

    Twice the smaller tail of the hypergeometric distribution, so right for rare things and for small samples.
    """
    parts, everything = part + reference_part, whole + reference_whole
    lowest, highest = max(0, parts - reference_whole), min(whole, parts)
    if lowest == highest:
        return 1.0

    def log_probability(count: int) -> float:
        return (
            _log_choose(whole, count)
            + _log_choose(reference_whole, parts - count)
            - _log_choose(everything, parts)
        )

    first = math.exp(log_probability(part))
    tails = []
    for step, end in ((1, highest), (-1, lowest)):
        total, probability, count = first, first, part
        while count != end and probability > total * 1e-12:
            # The ratio of neighbours, so that each further one costs no logarithm.
            if step == 1:
                probability *= (whole - count) * (parts - count)
                probability /= (count + 1) * (reference_whole - parts + count + 1)
            else:
                probability *= count * (reference_whole - parts + count)
                probability /= (whole - count + 1) * (parts - count + 1)
            count += step
            total += probability
        tails.append(total)
    return min(1.0, 2 * min(tails))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def same_distribution(window: Sketch, reference: Sketch, units: int, reference_units: int) -> float:
    """How likely distributions so far apart are of one population: the test of Kolmogorov and Smirnov, on their bins.

    `units` are how many values of each are independent of each other. Bins can only bring distributions closer
    together, so the test errs on the side of no shift. The approximation is Stephens' (1970).
    """
    n, m = window.count, reference.count
    if not n or not m or not units or not reference_units:
        return 1.0
    gap, own, other = 0.0, window.zeros, reference.zeros
    gap = abs(own / n - other / m)
    for bin_ in sorted({*window.bins, *reference.bins}):
        own += window.bins.get(bin_, 0)
        other += reference.bins.get(bin_, 0)
        gap = max(gap, abs(own / n - other / m))
    root = math.sqrt(units * reference_units / (units + reference_units))
    return _kolmogorov((root + 0.12 + 0.11 / root) * gap)


def _kolmogorov(statistic: float) -> float:
    """The probability of a greater statistic."""
    if statistic < 0.2:
        return 1.0
    terms = (math.exp(-2 * (number * statistic) ** 2) * (1 if number % 2 else -1) for number in range(1, 101))
    return min(1.0, max(0.0, 2 * sum(terms)))
