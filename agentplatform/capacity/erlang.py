"""Waits and slots by formula, for what is too large to simulate: Erlang C, and Allen and Cunneen's correction of it.

Kleinrock, Queueing Systems (1975); Allen, Probability, Statistics, and Queueing Theory (1990), for variation that is not
exponential; Halfin and Whitt (1981) for very many slots.
"""

from __future__ import annotations

import math
from statistics import NormalDist

MANY_SLOTS = 20_000
_NORMAL = NormalDist()


def wait_probability(slots: int, offered: float) -> float:
    """That a step finds no slot free, of `offered` busy slots in the mean."""
    if offered >= slots:
        return 1.0
    if offered <= 0:
        return 0.0
    if slots > MANY_SLOTS:
        spare = (slots - offered) / math.sqrt(slots)
        return 1 / (1 + spare * _NORMAL.cdf(spare) / _NORMAL.pdf(spare)) if spare < 30 else 0.0
    blocked = 1.0
    for number in range(1, slots + 1):
        blocked = offered * blocked / (number + offered * blocked)
    return blocked / (1 - offered / slots * (1 - blocked))


def wait_quantile(slots: int, offered: float, seconds: float, variation: float, share: float = 0.95) -> float:
    """The wait that a share of steps does not exceed, in seconds; infinite where slots do not suffice.

    `seconds` is how long a step holds its slot in the mean. `variation` is the mean of two squared coefficients of
    variation: of times between arrivals, and of times in the slot. It is 1 where both are exponential.
    """
    if offered >= slots:
        return math.inf
    waits = wait_probability(slots, offered)
    if waits <= 1 - share:
        return 0.0
    return variation * math.log(waits / (1 - share)) * seconds / (slots - offered)


def slots_for(offered: float, seconds: float, variation: float, target_seconds: float) -> int:
    """The fewest slots with which 95% of the steps wait no longer than so."""
    if offered <= 0:
        return 1
    low = math.floor(offered)
    high = low + max(1, math.ceil(math.sqrt(offered)))
    while wait_quantile(high, offered, seconds, variation) > target_seconds:
        low, high = high, high + 2 * (high - math.floor(offered))
    while high - low > 1:
        middle = (low + high) // 2
        if wait_quantile(middle, offered, seconds, variation) > target_seconds:
            low = middle
        else:
            high = middle
    return high
