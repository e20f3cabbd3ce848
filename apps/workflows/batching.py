"""Steps and the batches that their model calls go with: leaving calls to them, settling what comes back."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from agentplatform.llm.batching import BatchedCall
from agentplatform.llm.catalogue import Target
from agentplatform.llm.journal import StartedCall
from agentplatform.llm.messages import ModelRequest, ModelResponse
from apps.database import call_function, from_jsonb, to_jsonb, until_answered
from apps.gateway.batch_results import SettledRequest
from apps.gateway.batches import batches_group, batches_hurry_unawaited, batches_work
from apps.workflows.store import OUTAGE_PATIENCE_SECONDS, budget_short

WORK_SECONDS = 30.0
"""How long one run of the upkeep takes on further batches."""

WITHDRAW_LIMIT = 1_000

_places = threading.BoundedSemaphore(2)
"""Of a process's threads so many look after batches at most; a large batch is read for minutes."""


class DatabaseBatchLane:
    """A BatchLane: calls wait in the database until they are sent."""

    def leave(self, call: StartedCall, request: ModelRequest, target: Target) -> BatchedCall:
        document = to_jsonb(request.to_json())
        arguments = [
            call.step.workflow_id,
            to_jsonb(call.to_json()),
            document,
            target.model_name,
            len(document.encode()),
        ]
        ((told,),) = until_answered(
            lambda: call_function(
                "workflows_leave_to_batch", arguments, ["uuid", "jsonb", "jsonb", "text", "int"]
            ),
            what="leaving a call to a batch",
            give_up_after_seconds=OUTAGE_PATIENCE_SECONDS,
        )
        answer = from_jsonb(told)
        if "refusal" in answer:
            raise budget_short(answer["refusal"])
        return _batched_call(answer)

    def find(
        self, step_id: uuid.UUID, ordinal: int, request_hash: str, *, withdraw: bool
    ) -> BatchedCall | None:
        ((told,),) = until_answered(
            lambda: call_function(
                "gateway_batched_call",
                [step_id, ordinal, request_hash, withdraw],
                ["uuid", "int", "text", "boolean"],
            ),
            what="asking for a batched call",
            give_up_after_seconds=OUTAGE_PATIENCE_SECONDS,
        )
        return None if told is None else _batched_call(from_jsonb(told))


def _batched_call(told: Mapping[str, Any]) -> BatchedCall:
    response = told["response"]
    return BatchedCall(told["is_open"], None if response is None else ModelResponse.from_json(response))


def batches_advance() -> None:
    """Does what is due for batches: withdraws, makes up, sends, asks after, settles. Any number may run at once."""
    if not _places.acquire(blocking=False):
        return
    try:
        withdrawn = call_function("workflows_withdraw_batched", [WITHDRAW_LIMIT], ["int"])[0][0]
        if withdrawn:
            batches_hurry_unawaited()
        batches_group()
        batches_work(DatabaseBatchSettlement(), seconds=WORK_SECONDS)
    finally:
        _places.release()


class DatabaseBatchSettlement:
    """A BatchSettlement: workflows pay for what their calls in batches have cost."""

    def settle(self, results: Sequence[SettledRequest]) -> None:
        if results:
            document = to_jsonb([result.to_json() for result in results])
            call_function("workflows_settle_batch", [document], ["jsonb"])

    def give_up(self, call_ids: Sequence[uuid.UUID], code: str) -> None:
        call_function("workflows_give_up_calls", [list(call_ids), code], ["uuid[]", "text"])
