"""Choosing one label for a text by the words they share."""

import re
from collections import Counter
from collections.abc import Sequence

from agentplatform.simulator.answering.terms import term_list, word_set, words_of

_CUES = {
    "positive": "good great love excellent happy thanks thank perfect wonderful pleased recommend amazing best",
    "negative": "bad terrible hate awful broken unhappy disappointed worst refund poor useless angry slow",
    "neutral": "okay fine average",
    "urgent": "urgent asap immediately critical outage down emergency now blocked",
    "high": "urgent critical important severe outage",
    "low": "minor small whenever trivial cosmetic",
    "complaint": "unhappy disappointed refund complain broken terrible unacceptable",
    "billing": "invoice charge charged payment refund price card subscription cost paid",
    "technical": "error bug crash fails failed exception install login timeout broken",
    "bug": "error crash fails failed exception broken wrong",
    "feature": "add support wish could please request improve",
    "account": "login log password email profile sign access",
    "harassment": "idiot stupid loser moron pathetic shut",
    "hate": "hate vermin subhuman",
    "violence": "kill shoot stab bomb attack beat hurt",
    "spam": "click winner prize discount offer subscribe earn",
    "block": "kill shoot stab bomb vermin subhuman",
    "flag": "idiot stupid loser moron hate click winner prize earn",
    "revise": "long twice missing unclear mend",
    "yes": "yes true correct indeed",
    "no": "never false incorrect wrong",
}
_OPENINGS = (
    (word_set("how howto guide steps"), re.compile(r"\s*how (?:do|can|should|to|would)\b", re.IGNORECASE)),
    (
        word_set("explanation explain why concept"),
        re.compile(r"\s*(?:why|explain|how (?:does|is|are)|what happens)\b", re.IGNORECASE),
    ),
    (
        word_set("reference fact lookup definition"),
        re.compile(
            r"\s*(?:which|what (?:is|are)|when|where|who|how (?:many|much|long|often))\b", re.IGNORECASE
        ),
    ),
    (word_set("question"), re.compile(r".*\?\s*$", re.DOTALL)),
)
_CATCH_ALL = frozenset(
    {"other", "others", "general", "unknown", "none", "misc", "neutral", "unclear", "na", "allow"}
)


def best_label(text: str, labels: Sequence[str]) -> str:
    """Return the one label that fits the text best; a label `name: description` is answered by its name."""
    return _name_of(labels[best_place(text, labels)])


def best_place(text: str, labels: Sequence[str]) -> int:
    """Return the place of the label that fits the text best.

    Shared words decide, then cues of common labels, then shared letters; with nothing shared, a catch-all label such
    as `other` if there is one, else the first.
    """
    names = [_name_of(label) for label in labels]
    scores = _scores(text, labels)
    if max(scores) > 0:
        return scores.index(max(scores))
    for place, name in enumerate(names):
        if set(words_of(name)) & _CATCH_ALL:
            return place
    letters = _trigrams(text)
    shared = [len(_trigrams(name) & letters) / max(1, len(_trigrams(name))) for name in names]
    return shared.index(max(shared))


def fitting_places(text: str, labels: Sequence[str]) -> list[int]:
    """Return the places of all labels that the text shares words or cues with."""
    return [place for place, score in enumerate(_scores(text, labels)) if score > 0]


def _name_of(label: str) -> str:
    return label.partition(":")[0].strip() or label


def _scores(text: str, labels: Sequence[str]) -> list[float]:
    terms = Counter(term_list(text))
    names = [_name_of(label) for label in labels]
    return [
        _score(label, name, terms) + _opening_score(name, text)
        for label, name in zip(labels, names, strict=True)
    ]


def _score(label: str, name: str, terms: Counter[str]) -> float:
    in_name = set(term_list(name))
    in_description = set(term_list(label)) - in_name
    cues = {cue for word in words_of(name) for cue in term_list(_CUES.get(word, ""))} - in_name
    score = sum(2.0 * min(3, terms[term]) for term in in_name) / max(1, len(in_name))
    score += sum(0.7 * min(2, terms[term]) for term in in_description)
    return score + sum(0.8 * min(2, terms[cue]) for cue in cues)


def _opening_score(name: str, text: str) -> float:
    words = set(words_of(name))
    return sum(1.0 for family, opening in _OPENINGS if words & family and opening.match(text))


def _trigrams(text: str) -> set[str]:
    padded = f" {' '.join(words_of(text))} "
    return {padded[i : i + 3] for i in range(len(padded) - 2)}
