"""What a pair of questions looks like to the scorer: a few numbers that mean the same in any subject."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from agentplatform.llm.caching.alignment import Alignment, Left
from agentplatform.llm.caching.lexicon import FILLERS
from agentplatform.llm.caching.wording import Wording

Floats = npt.NDArray[np.float32]
SIGNS = {
    "similarity": 1,
    "distance_log": -1,
    "same_wording": 1,
    "misspelt": 1,
    "unrelated_left": -1,
    "unrelated_left_of_both": -1,
    "one_word_swapped": -1,
    "narrowed": -1,
    "unknown_left": -1,
    "share_left": -1,
    "function_words_left": -1,
    "quantities_left": -1,
    "negations_differ": -1,
    "asks_differ": -1,
    "order_broken": -1,
    "length_log": 0,
    "length_differs": -1,
}
"""Each feature, and whether the probability may only rise (1) or only fall (-1) with it."""
_HEAVY = 0.3
_CLOSEST = 0.002
_EDIT_OF_FUNCTION_WORDS = 2


def feature_names() -> tuple[str, ...]:
    """The names of a row's columns, in order."""
    return tuple(SIGNS)


def features_of(a: Wording, b: Wording, alignment: Alignment, similarity: float) -> Floats:
    """A row of the features of a pair."""
    left_a, left_b = alignment.left
    unrelated_a, unrelated_b = _unrelated(left_a), _unrelated(left_b)
    functions_left = _function_words_left(a, b)
    quantities_a = len(a.quantities.named - b.quantities.named)
    quantities_b = len(b.quantities.named - a.quantities.named)
    is_edit = functions_left <= _EDIT_OF_FUNCTION_WORDS
    count_a, count_b = len(left_a) + quantities_a, len(left_b) + quantities_b
    is_same = not count_a and not count_b and functions_left <= 1
    shorter, longer = sorted((len(a.words), len(b.words)))
    total = sum(alignment.totals)
    values = (
        similarity,
        math.log(max(1 - similarity, _CLOSEST)),
        is_same and not alignment.misspelt,
        is_same and alignment.misspelt > 0,
        unrelated_a + unrelated_b,
        min(unrelated_a, unrelated_b),
        is_edit and count_a == count_b == 1 and unrelated_a > _HEAVY,
        is_edit
        and not (count_a and count_b)
        and max(unrelated_a + quantities_a, unrelated_b + quantities_b) > _HEAVY,
        sum(left.weight > 1 for left in (*left_a, *left_b)),
        sum(left.weight for left in (*left_a, *left_b)) / total if total else 0.0,
        functions_left,
        quantities_a + quantities_b,
        abs(a.negations - b.negations),
        bool(a.asks or b.asks) and not a.asks & b.asks,
        _order_broken(alignment.pairs),
        math.log(max(longer, 1)),
        1 - shorter / max(longer, 1),
    )
    return np.array(values, dtype=np.float32)


def _unrelated(lefts: tuple[Left, ...]) -> float:
    return sum(left.weight * (1 - left.nearest) for left in lefts)


def _function_words_left(a: Wording, b: Wording) -> int:
    words_a, words_b = (
        {
            wording.stems[i]
            for i in set(range(len(wording.words))) - set(wording.content) - wording.quantities.used
        }
        for wording in (a, b)
    )
    return len((words_a ^ words_b) - FILLERS)


def _order_broken(pairs: Sequence[tuple[int, int]]) -> float:
    """Share of neighbouring pairs that stand the other way round on the other side."""
    if len(pairs) < 2:
        return 0.0
    places = [j for _, j in pairs]
    return sum(first > second for first, second in pairwise(places)) / (len(places) - 1)
