"""Revising a draft: what is said twice goes, and long sentences are divided where a semicolon allows it."""

import re

from agentplatform.simulator.answering.judging import CITATION, LONG_SENTENCE_WORDS
from agentplatform.simulator.answering.sentences import split_sentences

_LEADING = re.compile(rf"(?:{CITATION.pattern}\s*)+")
_DIVIDES = re.compile(r";\s+")


def revise(draft: str) -> str:
    """The draft with its headings and citations, each sentence once, none longer than it must be."""
    seen: set[str] = set()
    lines: list[str] = []
    for line in draft.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            lines.append(line)
            continue
        kept = [sentence for sentence in _with_citations(line) if _is_new(sentence, seen)]
        if kept:
            lines.append(" ".join(_divided(sentence) for sentence in kept))
    return "\n".join(lines)


def _with_citations(line: str) -> list[str]:
    """The sentences of a line, each with the citations that follow it."""
    found: list[str] = []
    for part in split_sentences(line):
        cited = _LEADING.match(part)
        if cited and found:
            found[-1] += f" {cited.group().strip()}"
            part = part[cited.end() :]
        if part:
            found.append(part)
    return found


def _is_new(sentence: str, seen: set[str]) -> bool:
    told = " ".join(CITATION.sub("", sentence).split())
    is_new = told not in seen
    seen.add(told)
    return is_new


def _divided(sentence: str) -> str:
    if len(sentence.split()) <= LONG_SENTENCE_WORDS:
        return sentence
    first, *others = _DIVIDES.split(sentence)
    return ". ".join([first, *(f"{other[:1].upper()}{other[1:]}" for other in others)])
