"""Extractive summaries: the sentences that hold most of what a text is about, in its order."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from agentplatform.simulator.answering.sentences import Sentence
from agentplatform.simulator.answering.terms import term_list

_NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
}  # fmt: skip
_SENTENCES_ASKED = re.compile(
    rf"\b(\d{{1,2}}|{'|'.join(_NUMBERS)})[\s-]+(?:\w+[\s-]+)?(?:sentences?|bullets?|points?)\b", re.IGNORECASE
)
_WORDS_ASKED = re.compile(r"\b(\d{1,4})[\s-]+words?\b", re.IGNORECASE)
_BRIEF = re.compile(r"\b(?:brief|short|concise|tl;?dr|single)\b", re.IGNORECASE)
_DETAILED = re.compile(r"\b(?:detail|thorough|comprehensive|long|full)", re.IGNORECASE)
_BULLETS = re.compile(r"\bbullet|\bas a list\b", re.IGNORECASE)
ASKS_SUMMARY = re.compile(r"\bsummar|\btl;?dr\b|\bkey points\b|\bgist\b|\bmain points\b", re.IGNORECASE)


def sentences_asked(ask: str, available: int) -> int:
    """Return how many sentences a summary should have: as asked, or by the wish and the length of the text."""
    if match := _SENTENCES_ASKED.search(ask):
        given = match.group(1).lower()
        return max(1, int(given) if given.isdigit() else _NUMBERS[given])
    if _BRIEF.search(ask):
        return 2
    if _DETAILED.search(ask):
        return max(5, min(12, round(0.35 * available)))
    return max(3, min(6, round(0.15 * available)))


def choose_sentences(sentences: Sequence[Sentence], count: int) -> list[Sentence]:
    """Return up to `count` sentences in the text's order.

    Each is scored by the mean frequency of its terms (SumBasic: Nenkova and Vanderwende, 2005), with the terms
    of sentences already chosen counting less, so that it says new things; leading sentences have an advantage.
    """
    pool = [sentence for sentence in sentences if 4 <= sentence.word_count <= 60] or list(sentences)
    frequency = Counter(term for sentence in pool for term in sentence.terms)
    weight = {term: math.log(1 + times) for term, times in frequency.items()}
    chosen: list[Sentence] = []
    while pool and len(chosen) < count:
        best = max(pool, key=lambda one: (_salience(one, weight), -one.position))
        chosen.append(best)
        pool.remove(best)
        for term in best.terms:
            weight[term] = weight.get(term, 0.0) * 0.3
    return sorted(chosen, key=lambda one: one.position)


def summarize(sentences: Sequence[Sentence], ask: str) -> list[Sentence]:
    """Return the summary of a text as the ask wants it, in sentences or within a number of words."""
    words = _WORDS_ASKED.search(ask)
    chosen = choose_sentences(sentences, sentences_asked(ask, len(sentences)))
    if words is None:
        return chosen
    limit, used = int(words.group(1)), 0
    kept: list[Sentence] = []
    for sentence in chosen:
        size = len(sentence.text.split())
        if not kept or used + size <= limit:
            kept.append(sentence)
            used += size
    return kept


def join_sentences(texts: Sequence[str], ask: str) -> str:
    """Return sentences as a paragraph, or as bullets where the ask wants them."""
    if _BULLETS.search(ask):
        return "\n".join(f"- {text}" for text in texts)
    return " ".join(texts)


def key_terms(text: str, count: int) -> list[str]:
    """Return the most frequent words of a text that carry meaning, in the form they first have."""
    forms: dict[str, str] = {}
    for word in re.findall(r"[^\W\d_]{4,}", text):
        for term in term_list(word):
            forms.setdefault(term, word.lower())
    frequency = Counter(term for term in term_list(text) if term in forms)
    ranked = sorted(frequency, key=lambda term: (-frequency[term], list(forms).index(term)))
    return [forms[term] for term in ranked[:count]]


def _salience(sentence: Sentence, weight: dict[str, float]) -> float:
    total = sum(weight.get(term, 0.0) for term in sorted(sentence.terms))
    lead = 1.0 + 0.5 / (1 + sentence.position)
    return lead * total / max(6, len(sentence.terms)) * (0.85 if sentence.is_item else 1.0)
