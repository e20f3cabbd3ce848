"""Questions changed on purpose: so that they still ask the same, or so that they no longer do.

What is shipped learns from these beside the public rows, since public rows hold few questions that differ by a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from agentplatform.llm.caching.lexicon import FUNCTION_WORDS, LIGHT_WORDS, SYNONYMS
from agentplatform.llm.caching.stems import in_order

Perturbation = Callable[[str, Random], str | None]
_WORD = re.compile(r"[A-Za-z]+")
_OPENINGS = (
    "hi, ",
    "hello, ",
    "please ",
    "hey there, ",
    "quick question: ",
    "um ",
    "so ",
    "ok so ",
    "sorry, ",
    "good morning, ",
)
_ENDINGS = (" thanks", " please", ", thank you", " thanks in advance", "??", "...", " !", " asap")
_CARRIERS = (
    ("how do i ", ("how can i ", "how to ", "what is the way to ", "what is the best way to ", "can you tell me how to ",
     "how do you ", "how should i ", "what do i have to do to ", "what are the steps to ", "please explain how to ", "i want to know how to ", "how would i ")),
    ("how can i ", ("how do i ", "how to ", "what can i do to ", "in what way can i ", "is there a way to ")),
    ("what is ", ("what's ", "tell me ", "could you tell me what is ", "i want to know what is ", "whats ")),
    ("what are ", ("tell me ", "what're ", "could you list ", "which are ")),
    ("can i ", ("is it possible to ", "am i allowed to ", "may i ", "could i ", "is it ok to ", "are we able to ")),
    ("i need to ", ("i want to ", "i would like to ", "i have to ", "help me ")),
    ("i want to ", ("i would like to ", "i'd like to ", "i need to ")),
    ("why is ", ("how come ", "what is the reason ", "can you explain why ")),
    ("where is ", ("where's ", "where can i find ", "do you know where is ")),
    ("do you ", ("do you guys ", "does your company ", "would you ")),
    ("is there ", ("do you have ", "is there maybe ", "would there be ")),
)  # fmt: skip
_QUALIFIERS = in_order(
    "advanced annual backup commercial corporate dental digital duplicate electric external faulty foreign frozen group "
    "hidden historic industrial internal leather legal local medical mobile monthly organic outdoor paper partial portable "
    "previous private rental replacement school secondary senior shared sports staff summer technical wedding winter wooden "
    "rental holiday travel pet kitchen garden tax insurance loan training weekend emergency cheap stolen broken expired"
)
_CLAUSES = (
    " for my business", " for a friend", " while travelling", " without a receipt", " after 14 days", " in cash", " with a dog",
    " in the evening", " for two people", " by phone", " for children", " from another country", " at the airport",
    " before the deadline", " without a contract", " on a mac", " if I am pregnant", " for a company", " in germany",
)  # fmt: skip


def typing_error(text: str, random: Random) -> str | None:
    """Two letters swapped, one left out or doubled, in a longer word."""
    words = [match for match in _WORD.finditer(text) if len(match.group()) >= 6 and match.group().islower()]
    if not words:
        return None
    chosen = random.choice(words)
    word, at = chosen.group(), random.randrange(1, len(chosen.group()) - 2)
    changed = random.choice(
        (
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
        )
    )
    return None if changed == word else text[: chosen.start()] + changed + text[chosen.end() :]


def politeness(text: str, random: Random) -> str | None:
    """A greeting before or thanks behind."""
    return (
        random.choice(_OPENINGS) + text
        if random.random() < 0.5
        else text.rstrip("?!. ") + random.choice(_ENDINGS)
    )


def letters(text: str, random: Random) -> str | None:
    """Capitals and signs changed."""
    return random.choice(
        (text.upper(), text.lower(), text.rstrip("?!."), text.capitalize() + "?", re.sub("[,']", "", text))
    )


def carrier(text: str, random: Random) -> str | None:
    """Another way to begin the same question."""
    lowered = text.lower()
    for opening, others in _CARRIERS:
        if lowered.startswith(opening):
            return random.choice(others) + text[len(opening) :]
    return None


def synonym(text: str, random: Random) -> str | None:
    """A word replaced by one that means the same here."""
    found = [match for match in _WORD.finditer(text) if match.group() in SYNONYMS and len(match.group()) > 3]
    if not found:
        return None
    chosen = random.choice(found)
    groups = SYNONYMS[chosen.group()]
    others = sorted(word for word, numbers in SYNONYMS.items() if numbers & groups and word != chosen.group())
    return text[: chosen.start()] + random.choice(others) + text[chosen.end() :] if others else None


def _content(text: str) -> list[re.Match[str]]:
    return [
        match
        for match in _WORD.finditer(text)
        if len(match.group()) > 3 and match.group() not in FUNCTION_WORDS and match.group() not in LIGHT_WORDS
    ]


def qualifier(text: str, random: Random) -> str | None:
    """A word put before one that carries content: narrower than before."""
    found = _content(text)
    if not found:
        return None
    at = random.choice(found).start()
    return text[:at] + random.choice(_QUALIFIERS) + " " + text[at:]


def clause(text: str, random: Random) -> str | None:
    """A condition added behind."""
    return text.rstrip("?!. ") + random.choice(_CLAUSES)


def dropped(text: str, random: Random) -> str | None:
    """A word that carries content left out: wider than before."""
    found = _content(text)
    if len(found) < 3:
        return None
    chosen = random.choice(found)
    return (text[: chosen.start()] + text[chosen.end() :]).replace("  ", " ").strip()


def replaced(related: Callable[[str], Sequence[str]]) -> Perturbation:
    """Makes a perturbation that puts a related word, which is no synonym, in the place of another."""

    def replace(text: str, random: Random) -> str | None:
        found = _content(text)
        random.shuffle(found)
        for chosen in found:
            others = related(chosen.group().lower())
            if others:
                return text[: chosen.start()] + random.choice(others) + text[chosen.end() :]
        return None

    return replace


SAME: tuple[Perturbation, ...] = (typing_error, typing_error, politeness, letters, carrier, carrier, synonym)
OTHER: tuple[Perturbation, ...] = (qualifier, qualifier, clause, dropped)
