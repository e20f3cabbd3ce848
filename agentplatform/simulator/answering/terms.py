"""Words as the answering compares them: lower case, without stop words, lightly stemmed."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|\d+(?:[.,]\d+)*|[^\W\d_{_IDEOGRAPHS}]+\d*")


def word_set(words: str) -> frozenset[str]:
    """Return the words of a list written as one string."""
    return frozenset(words.split())


STOP_WORDS = word_set(
    """a about above after again all also am an and any are as at be because been before being below between both
    but by can could did do does doing done down during each few for from further get gets give given had has have
    having he her here hers him his how i if in into is it its itself just let me more most much my no nor not of
    off on once only or other our ours out over own per please s same she should so some such t tell than that the
    their theirs them then there these they this those through to too under until up use used uses using very via
    was we were what when where which while who whom whose why will with within without would you your yours
    explain describe say says said show mean means happen happens work works does many long often
    passage passages document documents text answer question following based according"""
)

_SUFFIXES = (
    "ations", "ation", "ments", "ment", "ities", "ingly", "edly", "ates", "ated", "ating", "ings", "ions", "ors",
    "ate", "ers", "ity", "ing", "ion", "ies", "ied", "or", "er", "ed", "es", "ly", "s",
)  # fmt: skip


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Strip one common English suffix, so that settle, settled and settlement are one term."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not word.endswith("ss"):
            word = word[: -len(suffix)]
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word[-1] in "eyi" else word


def words_of(text: str) -> list[str]:
    """Return the lower-case words of a text, identifiers split at underscores."""
    return [word.lower() for word in _WORD.findall(text)]


def term_list(text: str) -> list[str]:
    """Return the terms of a text in order: its words but for stop words, stemmed."""
    return [stem(word) for word in words_of(text) if word not in STOP_WORDS]


def terms_of(text: str) -> frozenset[str]:
    """Return the set of terms of a text; of a text of stop words alone, these."""
    return frozenset(term_list(text)) or frozenset(words_of(text))


class TermWeights:
    """Inverse document frequencies over a collection (Robertson and Spärck Jones, 1976, smoothed)."""

    def __init__(self, collection: Sequence[Iterable[str]]) -> None:
        self._size = len(collection)
        self._found_in = Counter(term for terms in collection for term in set(terms))

    def has(self, term: str) -> bool:
        """Whether any text of the collection has the term."""
        return term in self._found_in

    def weight(self, term: str) -> float:
        """Return the weight of a term, highest for one the collection does not have."""
        found_in = self._found_in[term]
        return math.log(1 + (self._size - found_in + 0.5) / (found_in + 0.5))
