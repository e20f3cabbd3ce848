"""Decisions, outcomes and state as the JSON that the database's functions take and return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentplatform.execution.attempts import LeasedStep, Outcome
from agentplatform.execution.dead_letters import fingerprint_of, given_up_because
from agentplatform.execution.outcomes import lost_workers_with
from agentplatform.execution.retry import WORKER_LOST, Failure
from agentplatform.identifiers import uuid7
from agentplatform.llm.tiers import AUTO
from agentplatform.workflows.decisions import Decision, Expansion, NodeState, WorkflowState
from agentplatform.workflows.definition import AddedSteps, Definition, StepSpec
from agentplatform.workflows.requeueing import GIVEN_UP, Requeue
from agentplatform.workflows.statuses import StepStatus, WorkflowStatus
from apps.workflows.models import QueueConfig


def decision_to_json(definition: Definition, decision: Decision, queue: QueueConfig) -> dict[str, Any]:
    """What `workflows_apply` stores."""
    ending = decision.ending
    only = _only_successor(definition, decision)
    document: dict[str, Any] = {}
    if only is not None:
        document |= {"only": only.key, "only_tokens": only.estimated_tokens}
    if decision.release:
        document["release"] = [{"node": release.node, "count": release.count} for release in decision.release]
    if decision.omit:
        document["omit"] = decision.omit
    if decision.commutes:
        document["commutes"] = True
    if decision.added is not None:
        document |= _added(definition, decision.added)
        definition = definition.extended((decision.added,))
    return document | {
        "expand": [_expansion(definition, expansion, queue) for expansion in decision.expand],
        "activate": decision.activate,
        "status": decision.status,
        "ending": None
        if ending is None
        else {
            "status": ending.status,
            "results": ending.results,
            "result_node": definition.result,
            "error": ending.error,
            "degradations": ending.degradations,
        },
    }


def _added(definition: Definition, added: AddedSteps) -> dict[str, Any]:
    """Steps that come into the run, and what those that wait for them need from now on."""
    extended = definition.extended((added,))
    waiting = [spec.key for spec in definition.dependents(added.by)]
    needs = [{"node": key, "needs": extended.step(key).needs} for key in waiting]
    return {"added": added.to_json(), "needs": needs}


def _only_successor(definition: Definition, decision: Decision) -> StepSpec | None:
    """The one step that the decision sets free and does nothing besides, as in a chain; else None."""
    if len(decision.activate) != 1 or decision.ending is not None:
        return None
    if decision.expand or decision.release or decision.omit or decision.added is not None:
        return None
    spec = definition.step(decision.activate[0])
    return spec if spec.for_each is None else None


def outcome_to_json(step: LeasedStep, outcome: Outcome, decision: Decision) -> dict[str, Any]:
    """What `workflows_finish` writes of the attempt itself."""
    assert decision.step is not None
    document: dict[str, Any] = {
        "status": decision.step,
        "delay_seconds": decision.delay_seconds,
        "attempt_outcome": "succeeded",
    }
    degradations = list(outcome.degradations)
    if outcome.wait is not None:
        document |= {
            "attempt_outcome": "waited",
            "waiting_for": outcome.wait.waiting_for,
            "error_code": outcome.wait.code,
            "error_message": outcome.wait.message,
        }
        if outcome.wait.needs is not None:
            usd_micros, tokens = outcome.wait.needs
            document["hold"] = {"usd_micros": usd_micros, "tokens": tokens}
    elif outcome.omitted:
        document["attempt_outcome"] = "omitted"
    elif outcome.failure is None:
        document["output"] = outcome.output
        document["known"] = known_node(step.definition, decision)
    else:
        document |= {
            "attempt_outcome": _ATTEMPT_OUTCOMES.get(outcome.failure.code, "failed"),
            "error_code": outcome.failure.code,
            "error_message": outcome.failure.message,
            "traceback": outcome.failure.traceback,
        }
        if decision.step in GIVEN_UP:
            document["dead_letter"] = _letter(step, outcome.failure)
        if decision.step is StepStatus.SKIPPED:
            message = f"Step '{decision.node}' was skipped: {outcome.failure.message}"
            degradations.append({"code": "step_skipped", "message": message})
    if degradations:
        document["degradations"] = degradations
    return document


STEP_TIMEOUT = "step_timeout"
"""The failure code of an attempt that its worker did not end although the step's time was up."""

_ATTEMPT_OUTCOMES = {WORKER_LOST: "lost", STEP_TIMEOUT: "timed_out"}


def _letter(step: LeasedStep, failure: Failure) -> dict[str, Any]:
    """What only the worker knows of a step that gives up; the rest of its letter stands on its row."""
    attempt, lost_workers = step.attempt - step.attempts_before, lost_workers_with(step, failure)
    return {
        "id": str(uuid7()),
        "reason": given_up_because(step.policy, failure, attempt=attempt, lost_workers=lost_workers),
        "error_class": failure.error_class,
        "fingerprint": fingerprint_of(failure, step.agent),
    }


def requeue_to_json(requeue: Requeue) -> dict[str, Any]:
    """What `workflows_requeue` stores."""
    return {
        "block": requeue.block,
        "withdraw": requeue.withdraw,
        "activate": requeue.activate,
        "line_up": requeue.line_up,
    }


def known_node(definition: Definition, decision: Decision) -> str | None:
    """The node whose whole output a worker has in hand once it has finished its step; None in a fan-out."""
    assert decision.node is not None
    return decision.node if definition.step(decision.node).for_each is None else None


def run_from_json(definition: Definition, data: Mapping[str, Any]) -> tuple[Definition, WorkflowState]:
    """What a run goes by, its definition with the steps that were added to it, and the reducer's state.

    `data` is what `workflows_state` returned.
    """
    definition = definition.extended(AddedSteps.from_json(added) for added in data["added"])
    nodes = {}
    for spec in definition.steps:
        counts = {StepStatus(status): n for status, n in data["counts"].get(spec.key, {}).items()}
        total = 1 if spec.for_each is None else data["fan_out"].get(spec.key)
        nodes[spec.key] = NodeState(total if spec.until is None else sum(counts.values()), counts)
    return definition, WorkflowState(WorkflowStatus(data["status"]), nodes)


def _expansion(definition: Definition, expansion: Expansion, queue: QueueConfig) -> dict[str, Any]:
    spec = definition.step(expansion.node)
    return {
        "node": spec.key,
        "count": expansion.count,
        "status": expansion.status,
        "position": definition.steps.index(spec),
        "agent": spec.agent,
        "tier": spec.tier or AUTO,
        "label": f"{definition.type}.{spec.key}",
        "needs": list(spec.needs),
        "for_each": spec.for_each.split(".") if spec.for_each is not None else None,
        "options": dict(spec.options),
        "estimated_tokens": spec.estimated_tokens,
        "timeout_seconds": spec.timeout_seconds or queue.step_timeout_seconds,
        "max_attempts": spec.max_attempts or queue.max_attempts,
        "first_index": expansion.first_index,
        "is_loop": spec.until is not None,
    }
