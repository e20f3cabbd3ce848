"""Which of the answers to near questions may serve another one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from agentplatform.llm.caching.answers import Candidate, KeptAnswer


class Verdict(Protocol):
    """What is said of two questions: how alike they are, and how probably one answer serves both."""

    @property
    def similarity(self) -> float: ...

    @property
    def probability(self) -> float: ...

    @property
    def veto(self) -> str | None: ...


class Verifier(Protocol):
    """Judges whether an answer to `b` serves `a`."""

    def judge(self, a: str, b: str, similarity: float) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Likeness:
    """The answer to a question that means the same, and how sure that is."""

    answer: KeptAnswer
    similarity: float
    probability: float


def likest(
    subject: str, candidates: Iterable[Candidate], verifier: Verifier, least: float
) -> Likeness | None:
    """The candidate whose answer serves `subject` most probably; None where none does with `least` or more."""
    best: Likeness | None = None
    for candidate in candidates:
        verdict = verifier.judge(subject, candidate.subject, candidate.similarity)
        if verdict.veto is not None or verdict.probability < least:
            continue
        if best is None or verdict.probability > best.probability:
            best = Likeness(candidate.answer, candidate.similarity, verdict.probability)
    return best
