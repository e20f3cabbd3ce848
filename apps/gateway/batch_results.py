"""Results of batches, as settlements of the calls that they answer."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

from agentplatform.llm.batches import BatchResult, Ending
from agentplatform.llm.errors import ModelError
from agentplatform.llm.journal import Settlement, StartedCall, StepIdentity
from agentplatform.llm.metering import failed, settled
from apps.gateway.models import Call
from apps.gateway.selectors import catalogue

CHUNK = 100
"""How many results are settled in one transaction."""


@dataclass(frozen=True, slots=True)
class SettledRequest:
    """A request of a batch that has ended: its call's settlement, and how it ended."""

    settlement: Settlement
    ending: Ending

    def to_json(self) -> dict[str, Any]:
        return {"settlement": self.settlement.to_json(), "status": self.ending.value}


class BatchSettlement(Protocol):
    """Who pays for the calls of batches."""

    def settle(self, results: Sequence[SettledRequest]) -> None:
        """Settles results durably, each call once, and notes how their requests have ended."""

    def give_up(self, call_ids: Sequence[uuid.UUID], code: str) -> None:
        """Charges calls at their worst case, whose results are not to be had, until somebody tells."""


def chunks(results: Iterator[BatchResult]) -> Iterator[list[BatchResult]]:
    """The results in groups of CHUNK."""
    while chunk := list(islice(results, CHUNK)):
        yield chunk


def settlements_of(results: Sequence[BatchResult]) -> list[SettledRequest]:
    """Of those results that belong to calls of this installation."""
    known = {str(call.pk): call for call in Call.objects.filter(pk__in=_call_ids(results), lane="batch")}
    return [
        SettledRequest(_settlement(known[result.custom_id], result), result.ending)
        for result in results
        if result.custom_id in known
    ]


def _call_ids(results: Sequence[BatchResult]) -> list[uuid.UUID]:
    ids = []
    for result in results:
        with contextlib.suppress(ValueError):
            ids.append(uuid.UUID(result.custom_id))
    return ids


def _settlement(call: Call, result: BatchResult) -> Settlement:
    """At the price that batches have today. Raises UnknownPrice."""
    book = catalogue().prices
    prices = book.of(call.model, provider=call.provider, batch=True)
    started = _started_call(call)
    if result.response is None:
        message = "The provider did not answer this request of a batch."
        return failed(started, ModelError(result.error_code, message, transient=True), prices)
    live_prices = book.of(call.model, provider=call.provider)
    return settled(started, replace(result.response, tier=call.tier), prices, live_prices)


def _started_call(call: Call) -> StartedCall:
    step = StepIdentity(
        call.tenant_id, call.workflow_id, call.step_id, call.attempt, call.task_type, call.agent
    )
    return StartedCall(
        step=step,
        ordinal=call.ordinal,
        request_hash=call.request_hash,
        tier=call.tier,
        provider=call.provider,
        model=call.model,
        worst_case_usd_micros=0,
        complexity=call.complexity,
        routing_reason=call.routing_reason,
        escalated_from=call.escalated_from,
        lane=call.lane,
        call_id=call.pk,
    )
