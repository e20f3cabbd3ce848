"""Words that say what kind of thinking a request asks for, counted in one pass over its words."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

TOPICS: Mapping[str, str] = {
    "negation": "except incorrect false never cannot unlikely not least",
    "statement": "statement statements",
    "passage": "passage excerpt quotation according",
    "case": "patient plaintiff defendant client buyer seller owner company firm",
    "fraction": "half third quarter twice double triple times percent",
    "money": "dollar dollars cents cent",
    "compute": "calculate compute find determine solve evaluate estimate probability value how_many how_much",
    "formal": "prove proof theorem lemma derive group ring field matrix vector integral derivative function functions "
    "polynomial homomorphism topology topological algebra algebraic isomorphic equation graph",
    "condition": "if suppose assume assuming given let when unless whether provided",
    "constraint": "must should exactly only without between minimum maximum each every per remaining left rest total "
    "altogether at_least at_most no_more",
    "comparison": "more less fewer than greater higher lower most least best better",
    "sequence": "then after before next first second finally later again",
    "hedge": "may might could would probably likely generally often usually",
    "cause": "because therefore thus due cause caused causes result results resulted since hence",
    "law": "court law statute contract liable liability jury guilty convicted evidence testimony constitutional "
    "amendment tort negligent negligence jurisdiction",
    "moral": "morally moral wrong ethic ethics ethical ordinary",
    "who": "who whom whose",
    "what": "what",
    "which": "which",
    "when": "when",
    "where": "where",
    "why": "why",
    "how": "how",
    "truth": "true false yes no wrong",
    "code": "def class return import python javascript java sql algorithm code function implement",
    "task": "write implement explain summarise summarize translate list describe design create generate rewrite classify "
    "extract compare analyse analyze draft refactor debug",
    "format": "json yaml xml csv table markdown bullet schema format",
    "person": "he she his her him they their i my me",
    "aggregate": "all none both neither either all_of none_of both_of",
}
IN_OPTIONS = ("truth", "aggregate", "negation", "hedge")
"""The topics that are counted once more in the options of a multiple choice."""


def _topics_by_word() -> dict[str, tuple[str, ...]]:
    topics: dict[str, tuple[str, ...]] = {}
    for topic, words in TOPICS.items():
        for word in words.split():
            topics[word] = (*topics.get(word, ()), topic)
    return topics


_TOPICS = _topics_by_word()


def topic_counts(words: Sequence[str]) -> Mapping[str, int]:
    """How many of the words, or pairs of neighbours, belong to each topic."""
    counts: Counter[str] = Counter()
    for word in words:
        for topic in _TOPICS.get(word, ()):
            counts[topic] += 1
        if word.endswith(("n't", "n’t")):
            counts["negation"] += 1
    for first, second in itertools.pairwise(words):
        for topic in _TOPICS.get(f"{first}_{second}", ()):
            counts[topic] += 1
    return counts
