"""Traffic of questions: what is asked how often, in which words, and when; made of public rows, from a seed."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agentplatform.llm.caching.normalising import normalised_text
from agentplatform.llm.caching.rows import read_pairs, read_questions

FAQ_SHARE = 0.8
"""The rest asks what nobody else does."""
FAQ_TOPICS = 300
LEAST_PHRASINGS, MOST_PHRASINGS = 4, 12
PHRASING_EXPONENT = 0.5
"""Of a topic's phrasings the second is asked 2 ** this times less often than the first, and so on."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, when it is asked (seconds from the start), and what it is about: one label, one right answer."""

    at_seconds: float
    text: str
    topic: str


@dataclass(frozen=True, slots=True)
class MakeUp:
    """What a stream holds, as shares of its questions: the most that any cache could answer, by its labels."""

    questions: int
    topics: int
    repeated: float
    """asked before in the same words (after normalising)"""
    paraphrased: float
    """asked before in other words only"""


def topics_of(folder: Path) -> tuple[list[list[str]], list[str]]:
    """FAQ topics as lists of phrasings, and questions that stand alone.

    Topics are what is joined by pairs that are labelled duplicates (qqp), and the intents of banking77. Raises DataError.
    """
    joined: dict[str, str] = {}

    def root(text: str) -> str:
        while joined.setdefault(text, text) != text:
            text = joined[text]
        return text

    alone = []
    for pair in read_pairs(folder / "cache", "qqp_pairs"):
        if pair.label:
            joined[root(pair.a)] = root(pair.b)
        else:
            alone += [pair.a, pair.b]
    clusters = defaultdict(list)
    for text in joined:
        clusters[root(text)].append(text)
    intents = defaultdict(list)
    for question in read_questions(folder / "cache", "banking77", "category"):
        intents[question.intent].append(question.text)
    topics = [*clusters.values(), *intents.values()]
    alone = [text for text in dict.fromkeys(alone) if text not in joined]
    return [topic[:MOST_PHRASINGS] for topic in topics if len(topic) >= LEAST_PHRASINGS], alone


def stream(folder: Path, *, exponent: float, questions: int, per_second: float, seed: int) -> list[Asked]:
    """Topics by a Zipf law of this exponent, their phrasings by another; arrivals spaced as in a public trace."""
    chance = random.Random(seed)
    topics, alone = topics_of(folder)
    banking = topics[-77:]
    faq = banking + chance.sample(topics[:-77], FAQ_TOPICS - len(banking))
    chance.shuffle(faq)
    chance.shuffle(alone)
    weights = [rank**-exponent for rank in range(1, len(faq) + 1)]
    asked = []
    for at_seconds in itertools.islice(arrivals(folder, per_second), questions):
        if chance.random() < FAQ_SHARE:
            (topic,) = chance.choices(range(len(faq)), weights)
            phrasings = faq[topic]
            by_rank = [rank**-PHRASING_EXPONENT for rank in range(1, len(phrasings) + 1)]
            asked.append(Asked(at_seconds, chance.choices(phrasings, by_rank)[0], f"topic {topic}"))
        else:
            text = alone.pop()
            asked.append(Asked(at_seconds, text, text))
    return asked


def arrivals(folder: Path, per_second: float) -> list[float]:
    """When requests came in the Azure trace, in seconds from the first, at this rate on average."""
    with gzip.open(folder / "traces" / "AzureLLMInferenceTrace_conv.csv.gz") as packed:
        rows = csv.DictReader(io.TextIOWrapper(packed))
        times = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    pace = (times[-1] - times[0]) / len(times) * per_second
    return [(at - times[0]) / pace for at in times]


def make_up(asked: Sequence[Asked]) -> MakeUp:
    """What share of a stream repeats what was asked before it."""
    texts: set[str] = set()
    topics: set[str] = set()
    repeated = paraphrased = 0
    for one in asked:
        text = normalised_text(one.text)
        repeated += text in texts
        paraphrased += text not in texts and one.topic in topics
        texts.add(text)
        topics.add(one.topic)
    count = len(asked)
    return MakeUp(count, len(topics), repeated / count, paraphrased / count)
