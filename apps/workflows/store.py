"""The store that the executor claims from and finishes into: one round trip each, through the database's functions."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.conf import settings

from agentplatform.execution.attempts import ClaimedStep, FinishReply, LeasedStep, Outcome
from agentplatform.llm.caching.policy import CacheControl
from agentplatform.llm.errors import BudgetShort
from agentplatform.llm.journal import Settlement, StartedCall, StepJournal
from agentplatform.workflows.decisions import Decision, apply, claimed
from agentplatform.workflows.definition import StepSpec
from agentplatform.workflows.statuses import StepStatus
from apps.budgets.selectors import restraint_of
from apps.database import call_function, from_jsonb, to_jsonb, until_answered
from apps.tenants.selectors import max_model_tier
from apps.workflows.accounting import accounts
from apps.workflows.encoding import decision_to_json, known_node, outcome_to_json, run_from_json
from apps.workflows.hints import send_letter_hint
from apps.workflows.selectors import definition_by_id, queue_config, step_input
from apps.workflows.wake import wake

OUTAGE_PATIENCE_SECONDS = 300.0
"""How long a worker keeps a result through a database outage before it gives it up to its lease."""

_FINISH_TYPES = [
    "uuid",
    "uuid",
    "int",
    "bigint",
    "text",
    "float",
    "jsonb",
    "jsonb",
    "jsonb",
    "boolean",
    "boolean",
]


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
        wake.events(data["workflow_id"])
        definition, state = run_from_json(definition_by_id(data["definition_id"]), data["state"])
        spec = definition.step(data["node"])
        tenant_id = uuid.UUID(data["tenant_id"])
        api_key_id = uuid.UUID(data["api_key_id"]) if data["api_key_id"] else None
        return ClaimedStep(
            **_step_fields(data),
            workflow_id=uuid.UUID(data["workflow_id"]),
            tenant_id=tenant_id,
            api_key_id=api_key_id,
            max_tier=max_model_tier(tenant_id),
            restraint=restraint_of(tenant_id, api_key_id, definition.type),
            definition=definition,
            definition_id=data["definition_id"],
            cache_control=CacheControl(data["cache_control"]),
            revision=data["revision"],
            state=state,
            input=spec.input_of(data["input"]),
            needs=data["needs"],
        )

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
        if reply["outcome"] == "finished":
            accounts.used(step, journal.tokens)
        if reply["outcome"] == "conflict":
            stored = definition_by_id(reply["state"]["definition_id"])
            definition, state = run_from_json(stored, reply["state"])
            return FinishReply(
                "conflict", state=state, revision=reply["state"]["revision"], definition=definition
            )
        if reply["outcome"] != "finished" or reply["next"] is None:
            return FinishReply(reply["outcome"], ended=reply.get("ended", False))
        next_step = _following(step, outcome, decision, reply)
        accounts.continued(next_step)
        return FinishReply("finished", next_step=next_step)


class DatabaseCallStore:
    """Keeps the journal of calls in `gateway_call`."""

    def start(self, call: StartedCall, settlements: Sequence[Settlement]) -> None:
        arguments = [
            call.step.workflow_id,
            to_jsonb(call.to_json()),
            to_jsonb([settlement.to_json() for settlement in settlements]),
        ]
        ((refusal,),) = until_answered(
            lambda: call_function("workflows_reserve_call", arguments, ["uuid", "jsonb", "jsonb"]),
            what="start of a call",
            give_up_after_seconds=OUTAGE_PATIENCE_SECONDS,
        )
        if refusal is not None:
            raise budget_short(from_jsonb(refusal))

    def settle(self, settlements: Iterable[Settlement]) -> None:
        settled = list(settlements)
        document = to_jsonb([settlement.to_json() for settlement in settled])
        workflow_id = settled[0].call.step.workflow_id
        until_answered(
            lambda: call_function("workflows_settle", [workflow_id, document], ["uuid", "jsonb"]),
            what="settlement",
            give_up_after_seconds=OUTAGE_PATIENCE_SECONDS,
        )


def budget_short(refusal: Mapping[str, Any]) -> BudgetShort:
    """Why the database refused to reserve for a call."""
    if refusal["code"] == "max_cost_exceeded":
        message = "The worst case of the next call would take the workflow over its max_cost_usd; submit it with more."
        budget = "max_cost_usd"
    elif refusal["code"] == "budget_throttled":
        budget = refusal["budget"]
        message = f"Budget '{budget}' is nearly used up: its calls are made a few at a time."
    else:
        budget = refusal["budget"]
        message = f"Budget '{budget}' has no room for the next call this {refusal['period']}."
    return BudgetShort(
        refusal["code"],
        message,
        room_usd_micros=refusal["room_usd_micros"],
        room_tokens=refusal.get("room_tokens"),
        in_flight=refusal["in_flight"],
        seconds=refusal.get("seconds"),
        budget=budget,
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
) -> Mapping[str, Any]:
    """Ends an attempt in the database; through an outage it is repeated, which the fence makes safe.

    With `reap`, it is an attempt that its worker did not end, and holds only if its lease has expired or its deadline
    has passed. Returns what `workflows_finish` answers.
    """
    document = outcome_to_json(step, outcome, decision)
    arguments = [
        step.workflow_id,
        step.step_id,
        step.attempt,
        step.revision,
        worker,
        settings.LEASE_SECONDS,
        to_jsonb(document),
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
    reply: Mapping[str, Any] = from_jsonb(rows[0][0])
    if reply["outcome"] == "finished":
        if reply["ended"]:
            wake.ended(str(step.workflow_id))
        else:
            wake.events(str(step.workflow_id))
        if reply["wake"]:
            wake.dispatcher()
        if "dead_letter" in document:
            send_letter_hint(document["dead_letter"]["id"])
    return reply


def _following(
    step: ClaimedStep, outcome: Outcome, decision: Decision, reply: Mapping[str, Any]
) -> ClaimedStep:
    """The step that was claimed with the finish of `step`, of the same run."""
    data = reply["next"]
    definition = step.definition
    if decision.added is not None:
        definition = definition.extended((decision.added,))
    needs = dict(data["needs"])
    known = known_node(definition, decision)
    if known in definition.step(data["node"]).needs:
        # In hand already: only as JSON, which is what any other worker would have got.
        needs[known] = from_jsonb(to_jsonb(outcome.output))
    return replace(
        step,
        definition=definition,
        input=_input_of_following(step, definition.step(data["node"])),
        **_step_fields(data),
        restraint=restraint_of(step.tenant_id, step.api_key_id, step.definition.type),
        revision=reply["revision"],
        state=claimed(apply(step.state, decision), data["node"], StepStatus.READY),
        needs=needs,
    )


def _input_of_following(step: ClaimedStep, spec: StepSpec) -> Mapping[str, Any]:
    """What the step after `step` gets of the input: of what is in hand, unless `step` was not given so much."""
    given = step.spec.input_fields
    if given is None or (spec.input_fields is not None and set(spec.input_fields) <= set(given)):
        return spec.input_of(step.input)
    return spec.input_of(step_input(step.workflow_id, spec.key))


def _step_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """What `workflows_take` tells of a step, apart from its run."""
    return {
        "step_id": uuid.UUID(data["step_id"]),
        "attempt": data["attempt"],
        "node": data["node"],
        "index": data["index"],
        "agent": data["agent"],
        "tier": data["tier"],
        "label": data["label"],
        "queue": data["queue"],
        "options": data["options"],
        "seconds_left": data["seconds_left"],
        "workflow_seconds_left": data["workflow_seconds_left"],
        "attempts_before": data["attempts_before"] + data["waits"],
        "lost_workers": data["lost_workers"],
        "policy": queue_config(data["queue"]).retry_policy(data["max_attempts"] - data["attempts_before"]),
        "item": data["item"],
        "journal": tuple(data["journal"]),
        "session_id": uuid.UUID(data["session_id"]) if data["session_id"] else None,
        "previous": data["previous"],
        "signal": data["signal"],
        "waited_seconds": data["waited_seconds_ago"],
    }
