"""The store that the executor claims from and finishes into: one round trip each, through the database's functions."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings

from agentplatform.execution.executor import ClaimedStep, FinishReply, LeasedStep, Outcome
from agentplatform.llm.journal import Settlement, StartedCall, StepJournal
from agentplatform.workflows.coordinator import Decision, WorkflowState, apply, claimed
from agentplatform.workflows.definition import Definition
from agentplatform.workflows.statuses import StepStatus
from apps.database import call_function, from_jsonb, to_jsonb, until_answered
from apps.workflows.encoding import decision_to_json, outcome_to_json, state_from_json
from apps.workflows.selectors import definition_by_id, queue_config
from apps.workflows.wake import wake

OUTAGE_PATIENCE_SECONDS = 300.0
"""How long a worker keeps a result through a database outage before it gives it up to its lease."""

_FINISH_TYPES = ["uuid", "int", "bigint", "text", "float", "jsonb", "jsonb", "jsonb", "boolean", "boolean"]


class DatabaseStepStore:
    """Claims and finishes steps for one worker process."""

    def __init__(self, worker: str) -> None:
        self.worker = worker

    def claim(self, step_id: uuid.UUID, attempt: int) -> ClaimedStep | None:
        rows = call_function(
            "workflows_claim",
            [step_id, attempt, self.worker, settings.LEASE_SECONDS],
            ["uuid", "int", "text", "float"],
        )
        data = from_jsonb(rows[0][0])
        if data is None:
            return None
        definition = definition_by_id(data["definition_id"])
        wake.events(data["workflow_id"])
        return _claimed_step(data, definition, state_from_json(definition, data["state"]), data["revision"])

    def finish(
        self,
        step: ClaimedStep,
        outcome: Outcome,
        decision: Decision,
        journal: StepJournal,
        *,
        may_continue: bool,
    ) -> FinishReply:
        reply = finish_attempt(
            step, outcome, decision, journal.pending, worker=self.worker, may_continue=may_continue
        )
        journal.pending = []
        return reply


class DatabaseCallStore:
    """Keeps the journal of calls in `gateway_call`."""

    def start(self, call: StartedCall) -> None:
        document = to_jsonb(call.to_json())
        until_answered(
            lambda: call_function("gateway_start_call", [document], ["jsonb"]),
            what="start of a call",
            give_up_after_seconds=OUTAGE_PATIENCE_SECONDS,
        )

    def settle(self, settlements: Iterable[Settlement]) -> None:
        settled = list(settlements)
        document = to_jsonb([settlement.to_json() for settlement in settled])
        workflow_id = settled[0].call.step.workflow_id
        until_answered(
            lambda: call_function("workflows_settle", [workflow_id, document], ["uuid", "jsonb"]),
            what="settlement",
            give_up_after_seconds=OUTAGE_PATIENCE_SECONDS,
        )


def finish_attempt(
    step: LeasedStep,
    outcome: Outcome,
    decision: Decision,
    settlements: Iterable[Settlement],
    *,
    worker: str,
    may_continue: bool,
    reap: bool = False,
) -> FinishReply:
    """Ends an attempt in the database; through an outage it is repeated, which the fence makes safe.

    With `reap`, the attempt is that of a lost worker, and holds only if its lease has expired.
    """
    arguments = [
        step.step_id,
        step.attempt,
        step.revision,
        worker,
        settings.LEASE_SECONDS,
        to_jsonb(outcome_to_json(outcome, decision, reap=reap)),
        to_jsonb(decision_to_json(step.definition, decision, queue_config(step.queue))),
        to_jsonb([settlement.to_json() for settlement in settlements]),
        may_continue,
        reap,
    ]
    rows = until_answered(
        lambda: call_function("workflows_finish", arguments, _FINISH_TYPES),
        what="finish of a step",
        give_up_after_seconds=OUTAGE_PATIENCE_SECONDS,
    )
    return _finish_reply(step, decision, from_jsonb(rows[0][0]))


def _finish_reply(step: LeasedStep, decision: Decision, data: Mapping[str, Any]) -> FinishReply:
    if data["outcome"] == "conflict":
        state = state_from_json(step.definition, data["state"])
        return FinishReply("conflict", state=state, revision=data["state"]["revision"])
    if data["outcome"] != "finished":
        return FinishReply(data["outcome"])
    wake.events(str(step.workflow_id))
    if data["wake"]:
        wake.dispatcher()
    following = data["next"]
    if following is None:
        return FinishReply("finished", ended=data["ended"])
    state = claimed(apply(step.state, decision), following["node"], StepStatus.READY)
    next_step = _claimed_step(following, step.definition, state, data["revision"])
    return FinishReply("finished", next_step=next_step)


def _claimed_step(
    data: Mapping[str, Any], definition: Definition, state: WorkflowState, revision: int
) -> ClaimedStep:
    return ClaimedStep(
        step_id=uuid.UUID(data["step_id"]),
        attempt=data["attempt"],
        node=data["node"],
        index=data["index"],
        agent=data["agent"],
        tier=data["tier"],
        label=data["label"],
        queue=data["queue"],
        options=data["options"],
        seconds_left=data["seconds_left"],
        workflow_seconds_left=data["workflow_seconds_left"],
        workflow_id=uuid.UUID(data["workflow_id"]),
        tenant_id=uuid.UUID(data["tenant_id"]),
        definition=definition,
        policy=queue_config(data["queue"]).retry_policy(data["max_attempts"]),
        revision=revision,
        state=state,
        input=data["input"],
        item=data["item"],
        needs=data["needs"],
        journal=tuple(data["journal"]),
    )
