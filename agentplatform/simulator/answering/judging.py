"""Judging a text without understanding it: a score that is drawn from it, and faults that can be counted."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from agentplatform.simulator.answering.markdown import plain_blocks
from agentplatform.simulator.answering.sentences import sentences_of
from agentplatform.simulator.answering.terms import word_set, words_of

LONG_SENTENCE_WORDS = 30
_SCORE_WORDS = word_set("score rating grade confidence probability likelihood certainty quality")
_FAULT_WORDS = word_set(
    "fault faults issue issues problem problems weakness weaknesses flaw flaws finding findings"
)
_JUDGES = re.compile(r"\b(?:judge|critici[sz]e|review)\b", re.IGNORECASE)
_SPREAD = 0.6
_BOUND = re.compile(r"\b(minimum|maximum):\s*(-?\d+(?:\.\d+)?)")
CITATION = re.compile(r"\[\d{1,3}\]")
_SHOWN_WORDS = 6


def is_score(name: str) -> bool:
    """Whether a property of this name is a judgement, which no text holds."""
    return bool(set(words_of(name)) & _SCORE_WORDS)


def asks_for_faults(name: str, ask: str) -> bool:
    """Whether a property of this name is for what is wrong with a text that is to be judged."""
    return bool(set(words_of(name)) & _FAULT_WORDS) and _JUDGES.search(ask) is not None


def bounds(schema: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """The limits of a number, as keywords or as the SDK writes them into the description."""
    told = {name: float(value) for name, value in _BOUND.findall(str(schema.get("description", "")))}
    return schema.get("minimum", told.get("minimum")), schema.get("maximum", told.get("maximum"))


def drawn_score(text: str, low: float, high: float) -> float:
    """A score between the limits, the same for the same text; three of five are in the upper third."""
    drawn = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56
    return round(low + (high - low) * (1 - _SPREAD * drawn * drawn), 2)


def faults_in(text: str, most: int) -> list[str]:
    """What can be said against a text: sentences that are long or said twice, and parts that name no source."""
    seen: set[str] = set()
    found: list[str] = []
    for sentence in sentences_of(text):
        told = " ".join(CITATION.sub("", sentence.text).split())
        if told in seen:
            found.append(f"Said twice: {_beginning(told)}")
        elif sentence.word_count > LONG_SENTENCE_WORDS:
            found.append(f"Long, with {sentence.word_count} words: {_beginning(told)}")
        seen.add(told)
    if CITATION.search(text):
        bare = (block.text for block in plain_blocks(text) if block.kind not in ("heading", "code"))
        found += [f"No source is named for: {_beginning(told)}" for told in bare if not CITATION.search(told)]
    return list(dict.fromkeys(found))[:most]


def _beginning(text: str) -> str:
    words = text.split()
    return " ".join(words[:_SHOWN_WORDS]) + (" …" if len(words) > _SHOWN_WORDS else "")
