"""Choosing one label for a text by the words they share."""

from collections import Counter
from collections.abc import Sequence

from agentplatform.simulator.answering.terms import term_list, words_of

_CUES = {
    "positive": "good great love excellent happy thanks thank perfect wonderful pleased recommend amazing best",
    "negative": "bad terrible hate awful broken unhappy disappointed worst refund poor useless angry slow",
    "neutral": "okay fine average",
    "urgent": "urgent asap immediately critical outage down emergency now blocked",
    "high": "urgent critical important severe outage",
    "low": "minor small whenever trivial cosmetic",
    "question": "how what why when where who which can",
    "complaint": "unhappy disappointed refund complain broken terrible unacceptable",
    "billing": "invoice charge charged payment refund price card subscription cost paid",
    "technical": "error bug crash fails failed exception install login timeout broken",
    "bug": "error crash fails failed exception broken wrong",
    "feature": "add support wish could please request improve",
    "account": "login password email profile sign user access",
    "yes": "yes true correct indeed",
    "no": "no not never false incorrect",
}
_CATCH_ALL = frozenset({"other", "others", "general", "unknown", "none", "misc", "neutral", "unclear", "na"})


def best_label(text: str, labels: Sequence[str]) -> str:
    """Return the one label that fits the text best.

    A label `name: description` is answered by its name. Shared words decide, then cues of common labels, then
    shared letters; with nothing shared, a catch-all label such as `other` if there is one, else the first.
    """
    names = [label.partition(":")[0].strip() or label for label in labels]
    terms, words = Counter(term_list(text)), Counter(words_of(text))
    scores = [_score(label, name, terms, words) for label, name in zip(labels, names, strict=True)]
    if max(scores) > 0:
        return names[scores.index(max(scores))]
    for name in names:
        if set(words_of(name)) & _CATCH_ALL:
            return name
    letters = _trigrams(text)
    shared = [len(_trigrams(name) & letters) / max(1, len(_trigrams(name))) for name in names]
    return names[shared.index(max(shared))]


def _score(label: str, name: str, terms: Counter[str], words: Counter[str]) -> float:
    in_name = set(term_list(name))
    in_description = set(term_list(label)) - in_name
    cues = {cue for word in words_of(name) for cue in _CUES.get(word, "").split()}
    score = sum(2.0 * min(3, terms[term]) for term in in_name) / max(1, len(in_name))
    score += sum(0.7 * min(2, terms[term]) for term in in_description)
    return score + sum(0.8 * min(2, words[cue]) for cue in cues)


def _trigrams(text: str) -> set[str]:
    padded = f" {' '.join(words_of(text))} "
    return {padded[i : i + 3] for i in range(len(padded) - 2)}
