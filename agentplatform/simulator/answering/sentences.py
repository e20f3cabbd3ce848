"""Whole sentences of a text, in order."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from agentplatform.simulator.answering.markdown import plain_blocks
from agentplatform.simulator.answering.terms import terms_of, words_of

_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|[。！？]+[」』”]?")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"'])(?:e\.g|i\.e|etc|cf|vs|ca|approx|resp|incl|no|nos|fig|eq|sec|vol|ed|al|dr|mr|mrs|ms|prof|st"
    r"|jr|sr|inc|ltd|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|[A-Z])\.$",
    re.IGNORECASE,
)
_NEXT = re.compile(r"\s*(\S)")
_LONGEST_ABBREVIATION = 10
_LONGEST_KEPT = 8_000
_WHOLE = re.compile(r"(?:[.!?…]+[\"'”’)\]]*|[。！？]+[」』”]?)$")


@dataclass(frozen=True)
class Sentence:
    """A sentence or list item. `position` counts from the start of its text."""

    text: str
    position: int
    is_item: bool = False

    @cached_property
    def terms(self) -> frozenset[str]:
        """Its terms."""
        return terms_of(self.text)

    @cached_property
    def word_count(self) -> int:
        """How many words it has."""
        return len(words_of(self.text))


def split_sentences(line: str) -> list[str]:
    """Split a line of prose after each sentence's end; abbreviations, numbers and file names do not end one."""
    sentences: list[str] = []
    start = 0
    for end in _END.finditer(line):
        following = _NEXT.match(line, end.end())
        tail = line[max(start, end.end() - _LONGEST_ABBREVIATION) : end.end()]
        if (following and following.group(1).islower()) or _ABBREVIATION.search(tail):
            continue
        sentences.append(line[start : end.end()].strip())
        start = end.end()
    rest = line[start:].strip()
    return [*sentences, rest] if rest else sentences


def sentences_of(text: str) -> list[Sentence]:
    """Return the whole sentences of a Markdown text.

    What is not a sentence is left out: headings, code, tables, lines that introduce a list, and the fragments
    at either end of a text that was cut out of a longer one. List items count as sentences.
    """
    found: list[Sentence] = []
    blocks = [block for block in plain_blocks(text) if block.kind != "heading"]
    starts_inside = text.lstrip()[:1].islower()
    for number, block in enumerate(blocks):
        parts = split_sentences(block.text)
        if number == 0 and starts_inside and len(text) > len(parts[0]) + 1:
            parts = parts[1:]
        # Only a whole item may go without a full stop; what follows a sentence without one was cut off.
        is_whole_item = block.kind == "item" and len(parts) == 1
        for part in parts:
            if _is_sentence(part, is_whole_item):
                found.append(Sentence(part, len(found), is_item=block.kind == "item"))
    return found


def passage_sentences(text: str) -> Sequence[Sentence]:
    """Return the sentences of a passage. A knowledge base's passages come again and again, so they are kept."""
    return _kept_sentences(text) if len(text) <= _LONGEST_KEPT else sentences_of(text)


@lru_cache(maxsize=1024)
def _kept_sentences(text: str) -> tuple[Sentence, ...]:
    return tuple(sentences_of(text))


def headings_of(text: str) -> list[str]:
    """Return the headings of a Markdown text."""
    return [block.text for block in plain_blocks(text) if block.kind == "heading"]


def _is_sentence(part: str, is_whole_item: bool) -> bool:
    if _WHOLE.search(part):
        return any(character.isalpha() for character in part)
    return is_whole_item and not part.endswith((":", ",", ";")) and len(part.split()) >= 3
