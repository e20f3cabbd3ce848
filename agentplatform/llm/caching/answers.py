"""Answers as they are kept, and what the layer asks of the stores that keep them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from agentplatform.embedding.vectors import Vector
from agentplatform.identifiers import uuid7
from agentplatform.llm.caching.keys import CacheKey
from agentplatform.llm.messages import ModelResponse


class Layer(StrEnum):
    """Where an answer came from that was not bought."""

    EXACT = "exact"
    SEMANTIC = "semantic"
    IN_FLIGHT = "in_flight"  # bought by another at the same time


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer, what it is worth (micro-dollars), whose it was, and how it fell short (then it is not kept for long)."""

    response: ModelResponse
    worth_usd_micros: int
    source_workflow_id: uuid.UUID
    created_at: float
    entry_id: uuid.UUID = field(default_factory=uuid7)
    degradations: tuple[Mapping[str, str], ...] = ()
    is_stale: bool = False

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal answer."""
        return {
            "response": self.response.to_json(),
            "worth_usd_micros": self.worth_usd_micros,
            "source_workflow_id": str(self.source_workflow_id),
            "created_at": self.created_at,
            "entry_id": str(self.entry_id),
            "degradations": self.degradations,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> KeptAnswer:
        """The answer that `to_json` wrote. Raises KeyError, TypeError or ValueError where it is none."""
        return cls(
            response=ModelResponse.from_json(data["response"]),
            worth_usd_micros=int(data["worth_usd_micros"]),
            source_workflow_id=uuid.UUID(data["source_workflow_id"]),
            created_at=float(data["created_at"]),
            entry_id=uuid.UUID(data["entry_id"]),
            degradations=tuple(data["degradations"]),
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer to a question that is near: `subject` is that question, `similarity` the cosine of both vectors."""

    answer: KeptAnswer
    subject: str
    similarity: float


class Turn(StrEnum):
    """Whose turn it is to buy an answer that is not there."""

    OURS = "ours"  # nobody is at it: the lease on it is held from here on
    OTHERS = "others"  # another is at it
    IN_BATCH = "in_batch"  # it goes with a batch, and will be long
    UNKNOWN = "unknown"  # the store does not answer: everybody for himself


@dataclass(frozen=True, slots=True)
class Trust:
    """How far answers by meaning are trusted in one use case: the least probability, and the share that is checked.

    `is_enabled` is False where an operator, or too many wrong answers, switched them off.
    """

    threshold: float
    checked_share: float = 0.0
    is_enabled: bool = True


class AnswerStore(Protocol):
    """Keeps answers. No method raises, or takes longer than some tens of milliseconds: a store that is slow has none."""

    def look(self, key: CacheKey, token: str) -> KeptAnswer | Turn:
        """The answer to the same request; or whose turn it is to buy it, leased to `token` if that is ours."""

    def recall(self, key: CacheKey, *, stale: bool = False) -> KeptAnswer | None:
        """The answer from what outlives the first store; with `stale` also one that has expired."""

    def near(self, key: CacheKey, vector: Vector, *, stale: bool = False) -> Sequence[Candidate]:
        """The answers to the nearest questions of the scope, nearest first."""

    def vector_of(self, subject: str, tenant_id: uuid.UUID) -> Vector | None:
        """The vector of a question; None while there is none to be had soon."""

    def put(self, key: CacheKey, token: str, answer: KeptAnswer, seconds: float) -> None:
        """Keeps an answer for those who ask the same, and gives the lease back."""

    def keep(
        self, key: CacheKey, answer: KeptAnswer, call_id: uuid.UUID, document: Mapping[str, Any]
    ) -> None:
        """Keeps an answer for long that no settlement of ours can carry (see `kept_document`)."""

    def give_up(self, key: CacheKey, token: str, *, batch_seconds: float | None = None) -> None:
        """Gives the lease back without an answer; with `batch_seconds`, a batch has the call for so long at most."""

    def trust(self, key: CacheKey) -> Trust:
        """How far answers by meaning are trusted for this key's use case."""
