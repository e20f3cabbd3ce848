"""Which words of one question stand for which words of the other, and what is left over on either side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from agentplatform.llm.caching.lexicon import SYNONYMS
from agentplatform.llm.caching.vocabulary import Vocabulary
from agentplatform.llm.caching.wording import Wording, weight_of

Floats = npt.NDArray[np.float32]
Rule = Callable[[int, int], bool]
RELATED = 0.75
"""A word that is related to another by its vector counts at most so much: opposites are as near as synonyms."""
_RELATED_FROM = 0.45
_COMMON = 0.85
"""Words up to so rare are mistyped; what is like a rarer one is another."""


@dataclass(frozen=True, slots=True)
class Left:
    """A content word that nothing equal stands for. `nearest`: how related the nearest word of the other side is, 0 to 1."""

    place: int
    word: str
    weight: float
    nearest: float


@dataclass(frozen=True, slots=True)
class Alignment:
    """`pairs`: places of words that stand for one another. `left`: for each side, what is left over, of `totals` weight."""

    pairs: tuple[tuple[int, int], ...]
    left: tuple[tuple[Left, ...], tuple[Left, ...]]
    totals: tuple[float, float]
    misspelt: int
    """How many of the pairs are typing errors."""


def align(a: Wording, b: Wording, vocabulary: Vocabulary) -> Alignment:
    """Equal stems first, then synonyms, typing errors, compounds and acronyms; each word once."""
    pairs: list[tuple[int, int]] = []
    free_a, free_b = list(a.content), list(b.content)
    _take(pairs, free_a, free_b, lambda i, j: a.stems[i] == b.stems[j])
    _take(pairs, free_a, free_b, lambda i, j: are_synonyms(a, i, b, j))
    names = a.capitals | b.capitals
    misspelt = _take(
        pairs,
        free_a,
        free_b,
        lambda i, j: a.words[i] not in names and is_typing_error(a.words[i], b.words[j], vocabulary),
    )
    free_a, free_b = _without_compounds(a, free_a, b, free_b), _without_compounds(b, free_b, a, free_a)
    weights_a = {place: weight_of(a.words[place]) * vocabulary.rarity(a.words[place]) for place in a.content}
    weights_b = {place: weight_of(b.words[place]) * vocabulary.rarity(b.words[place]) for place in b.content}
    related = _related(a, free_a, b, free_b, vocabulary)
    left_a = _left(a, free_a, weights_a, related.max(axis=1, initial=0.0))
    left_b = _left(b, free_b, weights_b, related.max(axis=0, initial=0.0))
    return Alignment(
        pairs=tuple(sorted(pairs)),
        left=(left_a, left_b),
        totals=(sum(weights_a.values()), sum(weights_b.values())),
        misspelt=misspelt,
    )


def _take(pairs: list[tuple[int, int]], free_a: list[int], free_b: list[int], rule: Rule) -> int:
    taken = 0
    for i in tuple(free_a):
        for j in free_b:
            if rule(i, j):
                pairs.append((i, j))
                free_a.remove(i)
                free_b.remove(j)
                taken += 1
                break
    return taken


def are_synonyms(a: Wording, i: int, b: Wording, j: int) -> bool:
    """By word or by stem."""
    groups = SYNONYMS.get(a.words[i]) or SYNONYMS.get(a.stems[i])
    others = SYNONYMS.get(b.words[j]) or SYNONYMS.get(b.stems[j])
    return bool(groups and others and groups & others)


def is_typing_error(one: str, other: str, vocabulary: Vocabulary) -> bool:
    """One edit or a swap of neighbours in a word of four letters, two in one of eight, where one of both is no word.

    The other must be a common word: rare ones, such as names of substances, have neighbours that are rarer still.
    """
    shorter = min(len(one), len(other))
    # Few mistake the first letter.
    if shorter < 4 or abs(len(one) - len(other)) > 2 or one[0] != other[0] or not (one + other).isalpha():
        return False
    known = [word for word in (one, other) if vocabulary.knows(word)]
    if len(known) != 1 or vocabulary.rarity(known[0]) > _COMMON:
        return False
    return edits(one, other, 3) <= (1 if shorter < 8 else 2)


def edits(one: str, other: str, limit: int) -> int:
    """Insertions, deletions, replacements and swaps of neighbours from one word to another, at most `limit`."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, against in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit
    return min(row[-1], limit)


def _without_compounds(
    one: Wording, free: Sequence[int], other: Wording, free_other: Sequence[int]
) -> list[int]:
    """Takes off words that the other side writes as one word or as an acronym, or apart."""
    kept = []
    singles = {other.words[j] for j in free_other}
    own, others = ("".join(word[0] for word in wording.words) for wording in (one, other))
    for place in free:
        word = one.words[place]
        following = one.words[place + 1] if place + 1 < len(one.words) else ""
        before = one.words[place - 1] if place else ""
        is_joined = (
            word + following in singles or before + word in singles or _is_written_apart(word, other.words)
        )
        is_short = _is_acronym_of(word, others) or any(
            _is_acronym_of(single, own, place) for single in singles
        )
        if not is_joined and not is_short:
            kept.append(place)
    return kept


def _is_written_apart(word: str, words: Sequence[str]) -> bool:
    return len(word) > 5 and any(first + second == word for first, second in pairwise(words))


def _is_acronym_of(word: str, initials: str, including: int | None = None) -> bool:
    """Whether a short word is the first letters of words that follow one another, and of a certain one among them."""
    if not 3 <= len(word) <= 5 or not word.isalpha():
        return False
    start = initials.find(word)
    while start >= 0:
        if including is None or start <= including < start + len(word):
            return True
        start = initials.find(word, start + 1)
    return False


def _related(
    a: Wording, free_a: Sequence[int], b: Wording, free_b: Sequence[int], vocabulary: Vocabulary
) -> Floats:
    """How related the words left over are, 0 to RELATED."""
    rows = vocabulary.vectors([a.words[place] for place in free_a])
    columns = vocabulary.vectors([b.words[place] for place in free_b])
    cosines = rows @ columns.T
    found: Floats = np.clip((cosines - _RELATED_FROM) / (1 - _RELATED_FROM), 0, 1) * np.float32(RELATED)
    return found


def _left(
    wording: Wording, free: Sequence[int], weights: dict[int, float], nearest: Floats
) -> tuple[Left, ...]:
    return tuple(
        Left(place, wording.words[place], weights[place], float(near))
        for place, near in zip(free, nearest, strict=True)
    )
