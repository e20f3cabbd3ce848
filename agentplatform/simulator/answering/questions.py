"""Questions to research a topic by: about what the text at hand has headings for, else about the topic's own words."""

import re
from collections.abc import Sequence

from agentplatform.simulator.answering.summary import key_terms
from agentplatform.simulator.answering.terms import TermWeights, terms_of
from agentplatform.simulator.answering.values import list_items

TYPICAL_QUESTIONS = 5
_PATH_SEPARATOR = re.compile(r"\s+[›>/]\s+")
_ASKS = re.compile(
    r"(?:what|how|why|when|where|which|who)\s+(?:(?:long|many|much|often|soon)\s+)?"
    r"(?:is|are|do|does|did|can|could|should|must|will|has|have|happens|holds|makes|works)\b",
    re.IGNORECASE,
)
_LEAST_WORDS = 2


def research_questions(topic: str, text: str, count: int) -> list[str]:
    """Return up to `count` questions, those nearest to the topic first, and none about the same words as another.

    The list items of the text are taken as headings; of a path of headings the innermost counts.
    """
    headings = [_PATH_SEPARATOR.split(item)[-1].strip() for item in list_items(text)]
    subjects = _ranked(topic, [heading for heading in headings if len(heading.split()) >= _LEAST_WORDS])
    subjects += key_terms(topic, count)
    questions: list[str] = []
    seen: set[frozenset[str]] = set()
    for subject in subjects:
        terms = terms_of(subject)
        if terms not in seen and len(questions) < count:
            seen.add(terms)
            questions.append(_question(subject))
    return questions


def _ranked(topic: str, headings: Sequence[str]) -> list[str]:
    weights = TermWeights([terms_of(heading) for heading in headings])
    wanted = terms_of(topic)

    def nearness(heading: str) -> float:
        return sum(weights.weight(term) for term in sorted(wanted & terms_of(heading)))

    return sorted(headings, key=lambda heading: -nearness(heading))


def _question(subject: str) -> str:
    subject = subject.rstrip(" .?!:")
    if _ASKS.match(subject):
        return f"{subject[0].upper()}{subject[1:]}?"
    return f"What is known about “{subject}”?"
