"""The journal of a step's calls: what has been paid for is replayed, never bought twice."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentplatform.identifiers import uuid7
from agentplatform.llm.errors import BudgetShort
from agentplatform.llm.messages import ModelResponse, Usage


@dataclass(frozen=True, slots=True)
class StepIdentity:
    """Whose call it is: written on every call and ledger entry."""

    tenant_id: uuid.UUID
    workflow_id: uuid.UUID
    step_id: uuid.UUID
    attempt: int
    task_type: str
    agent: str
    api_key_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class StartedCall:
    """A call about to be made: the `ordinal`-th of its step, known by the hash of its request.

    `worst_case_usd_micros` is what it costs if every byte of it is a token (`worst_case_input_tokens`) and every token
    it may answer is used (`worst_case_output_tokens`).
    `complexity` is None where the tier was pinned; `lane` is live or batch.
    """

    step: StepIdentity
    ordinal: int
    request_hash: str
    tier: str
    provider: str
    model: str
    worst_case_usd_micros: int
    worst_case_input_tokens: int = 0
    worst_case_output_tokens: int = 0
    complexity: float | None = None
    routing_reason: str = ""
    escalated_from: str = ""
    lane: str = "live"
    call_id: uuid.UUID = field(default_factory=uuid7)

    def to_json(self) -> dict[str, Any]:
        """A flat JSON object, as the database's functions take it."""
        step = self.step
        return {
            "call_id": str(self.call_id),
            "tenant_id": str(step.tenant_id),
            "api_key_id": str(step.api_key_id) if step.api_key_id else None,
            "workflow_id": str(step.workflow_id),
            "step_id": str(step.step_id),
            "attempt": step.attempt,
            "task_type": step.task_type,
            "agent": step.agent,
            "ordinal": self.ordinal,
            "request_hash": self.request_hash,
            "tier": self.tier,
            "provider": self.provider,
            "model": self.model,
            "worst_case_usd_micros": self.worst_case_usd_micros,
            "worst_case_input_tokens": self.worst_case_input_tokens,
            "worst_case_output_tokens": self.worst_case_output_tokens,
            "complexity": self.complexity,
            "routing_reason": self.routing_reason,
            "escalated_from": self.escalated_from,
            "lane": self.lane,
        }


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a call ended and what it cost. `status` is settled (answered) or failed; a failed one may have cost.

    `avoided_usd_micros` is what it would have cost more, made at once and with nothing of it in a provider's cache.
    One that was not made, since its answer was kept, says where (`cache`) and how much of it that was (`served_tokens`),
    and what has to be known to have it answered live as well (`check`). `keep` says how an answer is to be kept.
    """

    call: StartedCall
    status: str
    usage: Usage
    cost_usd_micros: int
    price_version: str
    model: str
    provider_request_id: str = ""
    error_code: str = ""
    estimated: bool = False
    avoided_usd_micros: int = 0
    response: ModelResponse | None = None
    served_tokens: int = 0
    cache: Mapping[str, Any] | None = None
    check: Mapping[str, Any] | None = None
    keep: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """A flat JSON object, as the database's functions take it."""
        about_caching = {
            name: value
            for name in ("served_tokens", "cache", "check", "keep")
            if (value := getattr(self, name))
        }
        return {
            **about_caching,
            **self.call.to_json(),
            **self.usage.to_json(),
            "status": self.status,
            "model": self.model,
            "cost_usd_micros": self.cost_usd_micros,
            "avoided_usd_micros": self.avoided_usd_micros,
            "price_version": self.price_version,
            "provider_request_id": self.provider_request_id,
            "error_code": self.error_code,
            "estimated": self.estimated,
            "response": self.response.to_json() if self.response else None,
        }


class CallStore(Protocol):
    """Where calls are kept."""

    def start(self, call: StartedCall, settlements: Sequence[Settlement]) -> None:
        """Settles calls durably, reserves the worst case of `call`, and writes that it is about to be made.

        Raises BudgetShort when it must not be; settled they are all the same.
        """

    def settle(self, settlements: Iterable[Settlement]) -> None:
        """Settles calls durably, each once by its id; settling again changes nothing."""


class StepJournal:
    """The calls of one attempt of a step, over those that earlier attempts have settled.

    The settlement of the last call is kept back (`pending`) to be written in the transaction that finishes the
    step; it is written at once before another call is started. `tokens` is what the attempt's own calls have used.
    """

    def __init__(
        self, step: StepIdentity, store: CallStore, settled: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        self.step = step
        self.pending: list[Settlement] = []
        self.tokens = 0
        self._store = store
        self._next_ordinal = 0
        self._settled = {(entry["ordinal"], entry["request_hash"]): entry for entry in settled}

    def next_ordinal(self) -> int:
        """The ordinal of the step's next call: 0, 1, 2, …, the same on every attempt."""
        ordinal = self._next_ordinal
        self._next_ordinal += 1
        return ordinal

    def replay(self, ordinal: int, request_hash: str) -> ModelResponse | None:
        """What an earlier attempt got for the same request at the same place; None if it never settled one."""
        stored = self._settled.get((ordinal, request_hash))
        return ModelResponse.from_json(stored["response"]) if stored is not None else None

    def batched(self, ordinal: int, request_hash: str) -> Mapping[str, Any] | None:
        """The call that is replayed at this place, if it went with a batch: `call_id` and `cost_usd_micros`."""
        stored = self._settled.get((ordinal, request_hash))
        return stored if stored is not None and stored.get("lane") == "batch" else None

    def start(self, call: StartedCall) -> None:
        """Writes down that `call` is about to be made, and with it what is still to be settled."""
        settlements, self.pending = self.pending, []
        try:
            self._store.start(call, settlements)
        except BudgetShort:
            raise
        except Exception:
            self.pending = settlements
            raise

    def settle(self, settlement: Settlement) -> None:
        """Keeps the settlement to be written with the step's end, or before its next call."""
        self.pending.append(settlement)
        self.tokens += settlement.usage.total_input_tokens + settlement.usage.output_tokens

    def flush(self) -> None:
        """Writes what is pending, durably."""
        if self.pending:
            self._store.settle(self.pending)
            self.pending = []
