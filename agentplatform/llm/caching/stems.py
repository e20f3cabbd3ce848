"""Lists of words as they are written down, and the forms of one word brought together."""

from __future__ import annotations

from functools import lru_cache


def words_of(text: str) -> frozenset[str]:
    """The words of a text that is a list of them."""
    return frozenset(text.split())


def in_order(text: str) -> tuple[str, ...]:
    """As `words_of`, in the order that they are written in."""
    return tuple(text.split())


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """A light stem: plural and verb endings taken off, so that forms of one word are equal."""
    if len(word) <= 3 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        rest = word[: -len(ending)]
        if word.endswith(ending) and len(rest) >= 3 and any(vowel in rest for vowel in "aeiouy"):
            word = rest[:-1] if len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "lsz" else rest
            break
    if word.endswith("ly") and len(word) > 5:
        word = word[:-2]
    return word[:-1] if word.endswith("e") and len(word) > 3 else word
