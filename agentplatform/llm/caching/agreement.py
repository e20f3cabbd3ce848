"""Whether a live answer and a kept one say the same.

It compares answers, and knows nothing of the world. It cannot see that both are wrong; nor a difference in words that
neither changes a number, a negation or an end of a scale, nor moves the vector of the text much: one name for another
in a long text, a step left out, an order that matters. Of a long text the vector covers the beginning only. And where a
model puts the same thing quite differently each time, it sees differences that are none: then the cache is trusted less
than it deserves, never more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from agentplatform.llm.caching.normalising import normalised_text

LEAST_SIMILARITY = 0.85
"""Of the vectors of two texts that may say the same."""
LEAST_OVERLAP = 0.6
"""Of the words of two texts, where there are no vectors."""
LABEL_WORDS = 3
"""An answer so short is a label, a name or a number: it is the same, or it is not."""

_CITATION = re.compile(r"\[\d+\]")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_NEGATION = re.compile(
    r"\b(?:no|not|never|none|nothing|nobody|neither|nor|without|cannot|unable|impossible|forbidden|[a-z]+n['’]t)\b"
)
_ENDS = tuple(
    (re.compile(rf"\b(?:{one})\b"), re.compile(rf"\b(?:{other})\b"))
    for one, other in (
        ("yes", "no"),
        ("true", "false"),
        ("always", "never"),
        ("before", "after"),
        ("increases?|increased|rises?|rose", "decreases?|decreased|falls?|fell"),
        ("enabled?|on", "disabled?|off"),
        ("allowed|permitted", "forbidden|prohibited"),
        ("required|mandatory", "optional"),
        ("minimum|at least", "maximum|at most"),
    )
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether both say the same, and by what that is seen: by nothing sharper than their likeness, perhaps."""

    agrees: bool
    because: str
    is_by_likeness: bool = False


def compare(live: str, kept: str, similarity: float | None) -> Agreement:
    """Compares a live answer and a kept one. `similarity` is the cosine of their vectors, None where there is none."""
    one, other = _plain(live), _plain(kept)
    if one == other:
        return Agreement(True, "the same words")
    documents = _json(live), _json(kept)
    if documents != (None, None):
        is_same = None not in documents and documents[0] == documents[1]
        return Agreement(is_same, "the same data" if is_same else "other data")
    if min(len(_WORD.findall(one)), len(_WORD.findall(other))) <= LABEL_WORDS:
        return Agreement(False, "other words, of few")
    difference = _difference(one, other)
    if difference is not None:
        return Agreement(False, difference)
    if similarity is None:
        return Agreement(_overlap(one, other) >= LEAST_OVERLAP, "how many words they share", True)
    return Agreement(similarity >= LEAST_SIMILARITY, "how alike they are", True)


def _plain(text: str) -> str:
    """Without case, citations, marks of emphasis, and what ends a sentence."""
    bare = _CITATION.sub("", normalised_text(text)).casefold()
    return " ".join(re.sub(r"[*_`#>\"“”.!]+(?=\s|$)|(?<!\S)[*_`#>\"“”]+", " ", bare).split())


def _json(text: str) -> tuple[Any] | None:
    """The JSON object or list that a text is, with its texts normalised; None where it is none."""
    body = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    if not body.startswith(("{", "[")):
        return None
    try:
        return (_value(orjson.loads(body)),)
    except orjson.JSONDecodeError:
        return None


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return _plain(value)
    if isinstance(value, bool):
        return str(value)  # True is no 1
    if isinstance(value, Mapping):
        return {name: _value(part) for name, part in value.items()}
    return [_value(part) for part in value] if isinstance(value, list) else value


def _difference(one: str, other: str) -> str | None:
    """What both texts cannot say at once; None where nothing of the kind is seen."""
    numbers, others = set(_NUMBER.findall(one)), set(_NUMBER.findall(other))
    if not (numbers <= others or others <= numbers):
        return "other numbers"
    if bool(numbers) != bool(others):
        return "numbers in one of them only"
    if bool(_NEGATION.search(one)) != bool(_NEGATION.search(other)):
        return "a negation in one of them only"
    for low, high in _ENDS:
        ends = bool(low.search(one)), bool(high.search(one))
        if ends[0] != ends[1] and ends == (bool(high.search(other)), bool(low.search(other))):
            return "the opposite"
    return None


def _overlap(one: str, other: str) -> float:
    words, others = set(_WORD.findall(one)), set(_WORD.findall(other))
    return len(words & others) / len(words | others)
