"""A question as the judgement reads it: words, their stems, what kind of question it is, its quantities."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from agentplatform.llm.caching.lexicon import FILLERS, FUNCTION_WORDS, LIGHT_WORDS, NEGATIONS, PHRASES
from agentplatform.llm.caching.quantities import Quantities, read_quantities
from agentplatform.llm.caching.stems import stem

MAX_WORDS = 120
"""Of a longer text so many words are aligned; that the rest is equal is asked for separately."""
_TOKEN = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.-]*\w|https?://[^\s,;)]+|\d+(?:[/-]\d+)+|(?<![\w-])-\d+(?:\.\d+)?[a-z]*|\d{1,2}[:.]\d{2}(?:am|pm)\b|\d+(?:,\d{3})+(?:\.\d+)?|\d{1,2}:\d{2}|\d+(?:\.\d+)?[a-z]*|[^\W\d_]+(?:'[^\W\d_]+)*\d*[+#]*|[£$€¥₹%]|[<>]=?|[!=]=|(?<=\s)[-+*/^×÷](?=\s)"
)
_UNITED_STATES = re.compile(r"\bU\.?S\.?(?:A\.?)?(?=\W|$)")
_CAPITAL = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_CONTRACTED = {
    "can't": "can not", "cant": "can not", "cannot": "can not", "won't": "will not", "wont": "will not",
    "shan't": "shall not", "dont": "do not", "doesnt": "does not", "didnt": "did not", "isnt": "is not",
    "arent": "are not", "wasnt": "was not", "havent": "have not", "hasnt": "has not", "couldnt": "could not",
    "wouldnt": "would not", "shouldnt": "should not", "whats": "what is", "wheres": "where is", "hows": "how is",
    "whos": "who is", "thats": "that is", "im": "i am", "ive": "i have", "o'clock": "oclock",
}  # fmt: skip
_SUFFIXES = ("'s", "'re", "'ve", "'ll", "'d", "'m")
_LONGEST_PHRASE = max(phrase.count(" ") + 1 for phrase in PHRASES)
_PHRASES = {tuple(phrase.split()): replacement.split() for phrase, replacement in PHRASES.items()}
_PHRASE_STARTS = frozenset(phrase[0] for phrase in _PHRASES)


@dataclass(frozen=True, slots=True)
class Wording:
    """`words`: lower case, contractions opened, phrases joined. `content`: places of words that carry content.
    `capitals`: words that are written with a capital within the text. `negations`: how many words negate.
    `asks`: what the question words ask for, such as "why" or "how long"."""

    words: tuple[str, ...]
    stems: tuple[str, ...]
    content: tuple[int, ...]
    capitals: frozenset[str]
    negations: int
    asks: frozenset[str]
    quantities: Quantities
    squeezed: str
    is_whole: bool


def read(text: str) -> Wording:
    """Reads a question of any length; never raises."""
    plain = unicodedata.normalize("NFKC", text).replace("’", "'").replace("‘", "'")
    opened = _opened(_TOKEN.findall(_UNITED_STATES.sub("usa", plain).lower()))
    words = tuple(_joined(opened[: MAX_WORDS * 2]))[:MAX_WORDS]
    quantities = read_quantities(words)
    stems = tuple(stem(word) for word in words)
    content = tuple(
        place
        for place, word in enumerate(words)
        if place not in quantities.used
        and word not in FUNCTION_WORDS
        and word not in FILLERS
        and word not in NEGATIONS
        and (len(word) > 1 or not word.isascii())
    )
    return Wording(
        words=words,
        stems=stems,
        content=content,
        capitals=_capitals(plain),
        negations=sum(word in NEGATIONS for word in words),
        asks=_asks(words),
        quantities=quantities,
        squeezed="".join(opened),
        is_whole=len(opened) <= MAX_WORDS,
    )


def _opened(tokens: Sequence[str]) -> list[str]:
    words: list[str] = []
    for token in tokens:
        if token in _CONTRACTED:
            words.extend(_CONTRACTED[token].split())
        elif token.endswith("n't"):
            words.extend((token[:-3], "not"))
        elif "'" in token:
            for suffix in _SUFFIXES:
                if token.endswith(suffix):
                    token = token[: -len(suffix)]
                    break
            words.append(token.replace("'", ""))
        else:
            words.append(token)
    return [word for word in words if word]


def _joined(words: Sequence[str]) -> list[str]:
    """The words with known phrases replaced."""
    found: list[str] = []
    place = 0
    while place < len(words):
        if words[place] in _PHRASE_STARTS:
            for length in range(min(_LONGEST_PHRASE, len(words) - place), 0, -1):
                replacement = _PHRASES.get(tuple(words[place : place + length]))
                if replacement is not None:
                    found.extend(replacement)
                    place += length
                    break
            else:
                found.append(words[place])
                place += 1
        else:
            found.append(words[place])
            place += 1
    return found


def _capitals(plain: str) -> frozenset[str]:
    """Words with a capital that do not begin a sentence; none where most words have one."""
    found = [(match.group(), match.start()) for match in _CAPITAL.finditer(plain)]
    capital = [
        (word, start)
        for word, start in found
        if word[0].isupper() and word != "I" and not word.startswith("I'")
    ]
    if len(found) > 3 and len(capital) > 0.6 * len(found):
        return frozenset()
    return frozenset(
        word.lower().removesuffix("'s")
        for word, start in capital
        if (start and plain[:start].rstrip(" \"'(")[-1:] not in ("", ".", "?", "!", ":"))
        or (len(word) > 1 and word.isupper())
    )


_MEASURES = {
    "much": "how much", "many": "how many", "long": "how long", "often": "how often", "frequently": "how often",
    "old": "how old", "far": "how far", "big": "how big", "large": "how big", "tall": "how tall", "high": "how tall",
    "fast": "how fast", "quickly": "how long", "soon": "how long", "late": "when", "early": "when",
}  # fmt: skip
_WHAT = {
    "way": "how", "ways": "how", "process": "how", "procedure": "how", "steps": "how", "method": "how", "reason": "why",
    "reasons": "why", "causes": "why", "cause": "why", "time": "when", "date": "when", "day": "when", "year": "when",
    "place": "where", "location": "where", "address": "where", "cost": "how much", "price": "how much", "fee": "how much",
    "amount": "how much", "number": "how many", "age": "how old", "distance": "how far", "person": "who", "length": "how long",
    "duration": "how long", "frequency": "how often",
}  # fmt: skip


def _asks(words: Sequence[str]) -> frozenset[str]:
    found = set()
    for place, word in enumerate(words):
        after = words[place + 1 : place + 5]
        if word in ("why", "where", "who", "whom", "whose"):
            found.add("who" if word in ("whom", "whose") else word)
        elif word == "when" and (
            place == 0 or words[place - 1] in ("when", "know", "me", "and", "so", "hi", "hello") or place < 2
        ):
            found.add("when")
        elif word == "how":
            found.add(next((_MEASURES[one] for one in after[:1] if one in _MEASURES), "how"))
        elif word in ("what", "which"):
            found.add(next((_WHAT[one] for one in after if one in _WHAT), "what"))
    return frozenset(found)


def weight_of(word: str) -> float:
    """What a content word counts before its rarity does."""
    return 0.35 if word in LIGHT_WORDS else 1.0
