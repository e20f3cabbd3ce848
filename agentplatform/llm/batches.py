"""Batches of calls at a provider: when one is sent, how often it is asked after, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from agentplatform.llm.messages import ModelRequest, ModelResponse

MOST_POLL_SECONDS = 60.0
POLL_SHARE = 0.05
"""A batch is asked after again when it has grown older by so much of its age."""

FIRST_BACKOFF_SECONDS = 2.0
MOST_BACKOFF_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large a batch becomes, and for how many seconds a call waits for others to go with it."""

    max_requests: int
    max_bytes: int
    wait_seconds: float


def due_count(sizes: Sequence[int], waited_seconds: float, limits: BatchLimits) -> int:
    """How many of the waiting requests, from the first, make up a batch now; 0 while more are waited for.

    `sizes` are their bytes in the order of their coming, `waited_seconds` the age of the first. A batch is sent when it
    is full, or when its first request has waited long enough; one that is larger than `max_bytes` goes alone.
    """
    fitting, total = 0, 0
    for size in sizes[: limits.max_requests]:
        if fitting and total + size > limits.max_bytes:
            break
        fitting, total = fitting + 1, total + size
    is_full = fitting == limits.max_requests or fitting < len(sizes)
    return fitting if is_full or waited_seconds >= limits.wait_seconds else 0


def poll_seconds(age_seconds: float, least_seconds: float) -> float:
    """After how many seconds a batch of this age is asked after again."""
    return max(least_seconds, min(MOST_POLL_SECONDS, age_seconds * POLL_SHARE))


def backoff_seconds(failures: int) -> float:
    """After how many seconds what has failed so often in a row is tried again."""
    return float(min(MOST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (failures - 1)))


class Ending(StrEnum):
    """How a request of a batch ends."""

    SUCCEEDED = "succeeded"
    ERRORED = "errored"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One request of a batch; `custom_id` is what its result is known by."""

    custom_id: str
    request: ModelRequest


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What a provider says of a batch. `status` is in_progress, canceling or ended; counts are by Ending."""

    provider_batch_id: str
    status: str
    created_at: datetime
    request_count: int
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    counts: Mapping[Ending, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How one request ended. `response` is there where it succeeded, `error_code` where it did not."""

    custom_id: str
    ending: Ending
    response: ModelResponse | None = None
    error_code: str = ""


class BatchProvider(Protocol):
    """Takes batches of calls. Every method raises ModelError."""

    def submit_batch(
        self, items: Sequence[BatchItem], model: str, *, timeout_seconds: float
    ) -> BatchReport: ...

    def batch_status(self, provider_batch_id: str) -> BatchReport: ...

    def cancel_batch(self, provider_batch_id: str) -> BatchReport:
        """Asks for its end; what has begun may still be finished, and billed. One that has ended stays as it is."""

    def batches_since(self, created_at: datetime) -> Sequence[BatchReport]:
        """Those created since, newest first."""

    def batch_results(self, provider_batch_id: str) -> Iterator[BatchResult]:
        """The results of a batch that has ended, in no order, one by one as they come."""
