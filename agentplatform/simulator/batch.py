"""One Message Batch: where it is in its life, and how each of its requests ends. Times are the simulator's clock's."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from agentplatform.simulator.errors import ApiError
from agentplatform.simulator.identifiers import new_identifier
from agentplatform.simulator.provider_settings import BatchSettings

EXPIRES_AFTER = timedelta(hours=24)
OUTCOMES = ("succeeded", "errored", "canceled", "expired")
# Requests already begun are finished after a cancel: that takes this share of the batch's time.
_CANCELING_SHARE = 0.1


@dataclass(slots=True)
class BatchItem:
    """One request. `place` in (0, 1] is when its turn comes; `answer` is its result once it is worked out."""

    custom_id: str
    params: bytes
    place: float = 1.0
    fate: str = "succeeded"
    answer: bytes = b""
    answered: str = ""

    def ends_as(self, batch: "Batch") -> str:
        """Return how the request ends: by its turn, then by its fate, then by its answer."""
        turn_at = batch.created_at + self.place * batch.duration
        if batch.cancel_initiated_at is not None and turn_at > batch.cancel_initiated_at:
            return "canceled"
        if turn_at > batch.expires_at or self.fate == "expired":
            return "expired"
        return "errored" if self.fate == "errored" else self.answered

    def result_line(self, batch: "Batch") -> bytes:
        """Return the request's line of the results."""
        outcome = self.ends_as(batch)
        if outcome == self.fate == "errored":
            error = ApiError(500, "Scripted error of the simulator's batches.")
            result: Any = {"type": "errored", "error": error.body(new_identifier("req"))}
        elif outcome in ("succeeded", "errored"):
            result = orjson.Fragment(self.answer)
        else:
            result = {"type": outcome}
        return orjson.dumps({"custom_id": self.custom_id, "result": result}) + b"\n"


@dataclass(slots=True)
class Batch:
    """A batch and its requests, which are dropped when it is archived."""

    id: str
    created_at: datetime
    settings: BatchSettings
    items: list[BatchItem]
    total: int = 0
    size: int = 0
    is_worked_out: bool = False
    is_billed: bool = False
    cancel_initiated_at: datetime | None = None
    archived_at: datetime | None = None
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def duration(self) -> timedelta:
        """How long processing takes, if it is not broken off."""
        return timedelta(seconds=self.settings.seconds)

    @property
    def expires_at(self) -> datetime:
        """When processing ends at the latest."""
        return self.created_at + EXPIRES_AFTER

    @property
    def ends_at(self) -> datetime:
        """When processing ends."""
        ends_at = min(self.created_at + self.duration, self.expires_at)
        if self.cancel_initiated_at is not None:
            ends_at = min(ends_at, self.cancel_initiated_at + _CANCELING_SHARE * self.duration)
        return ends_at

    def status(self, now: datetime) -> str:
        """Return in_progress, canceling or ended."""
        if self.is_worked_out and now >= self.ends_at:
            return "ended"
        return "in_progress" if self.cancel_initiated_at is None else "canceling"

    def results(self) -> Iterator[bytes]:
        """Yield the lines of the results in the order the requests were processed, which is not that sent."""
        for item in sorted(self.items, key=lambda item: item.place):
            yield item.result_line(self)

    def as_json(self, now: datetime, base_url: str) -> dict[str, Any]:
        """Return the batch as the API shows it. Counts move only at the end, all at once."""
        status = self.status(now)
        ended = status == "ended"
        if ended and not self.counts:
            self.counts.update(item.ends_as(self) for item in self.items)
        counts = {"processing": 0 if ended else self.total}
        counts |= {outcome: self.counts[outcome] if ended else 0 for outcome in OUTCOMES}
        available = ended and self.archived_at is None
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": counts,
            "created_at": _rfc3339(self.created_at),
            "expires_at": _rfc3339(self.expires_at),
            "ended_at": _rfc3339(self.ends_at) if ended else None,
            "cancel_initiated_at": _rfc3339(self.cancel_initiated_at),
            "archived_at": _rfc3339(self.archived_at),
            "results_url": f"{base_url}/{self.id}/results" if available else None,
        }

    def archive(self, now: datetime) -> None:
        """Drop requests and results; the counts stay."""
        self.counts.update(() if self.counts else (item.ends_as(self) for item in self.items))
        self.archived_at, self.items, self.size = now, [], 0


def new_batch(
    items: Sequence[BatchItem], created_at: datetime, settings: BatchSettings, number: int
) -> Batch:
    """Return a batch whose requests have drawn their turns, and the scripted shares of them their fates.

    The draws depend on the custom ids and on the batch's number alone. Shares are exact, to the request.
    """
    drawn = sorted(items, key=lambda item: hashlib.sha256(f"{number}:{item.custom_id}".encode()).digest())
    errored = round(settings.errored_share * len(drawn))
    expired = round(settings.expired_share * len(drawn))
    for position, item in enumerate(drawn):
        item.fate = (
            "errored" if position < errored else "expired" if position < errored + expired else item.fate
        )
    turns = sorted(
        drawn, key=lambda item: hashlib.sha256(f"turn:{number}:{item.custom_id}".encode()).digest()
    )
    for position, item in enumerate(turns, start=1):
        item.place = position / len(turns)
    size = sum(len(item.params) for item in items)
    return Batch(new_identifier("msgbatch"), created_at, settings, list(items), total=len(items), size=size)


def _rfc3339(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="microseconds").replace("+00:00", "Z")
