"""What the end of an attempt comes to: an output, a failure, a wait, and the coordinator's decision on it."""

from __future__ import annotations

import random
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from agentplatform.agents.agent import StepDeferred, StepError
from agentplatform.execution.attempts import LeasedStep, Outcome, Wait
from agentplatform.execution.retry import WORKER_LOST, Failure
from agentplatform.llm.errors import CallDeferred, ModelError
from agentplatform.llm.model import CallContext
from agentplatform.workflows import coordinator
from agentplatform.workflows.decisions import (
    Decision,
    StepFailed,
    StepOmitted,
    StepSucceeded,
    StepWaits,
    WorkflowState,
)
from agentplatform.workflows.definition import DefinitionError, FanOutError
from agentplatform.workflows.expressions import ExpressionError
from agentplatform.workflows.statuses import WaitingFor

MAX_CODE_CHARACTERS = 64
"""How much of a failure's code is kept."""

MAX_CLASS_CHARACTERS = 200
"""How much is kept of the name of an exception's class."""

MAX_TRACEBACK_FRAMES = 50
"""How many frames are kept of a traceback, the innermost, where it was raised."""


def decide_outcome(step: LeasedStep, state: WorkflowState, outcome: Outcome) -> tuple[Outcome, Decision]:
    """The coordinator's decision on how an attempt ended.

    An output without the list which a later step fans out over, or with too long a one, is a permanent failure of
    this step; and so is one to which a loop's condition cannot be applied, or added steps that do not fit in.
    """
    if outcome.wait is not None:
        wait = outcome.wait
        event = StepWaits(step.node, wait.waiting_for, wait.seconds)
        return outcome, coordinator.decide(step.definition, state, event)
    if outcome.omitted:
        return outcome, coordinator.decide(step.definition, state, StepOmitted(step.node))
    if outcome.failure is None:
        succeeded = StepSucceeded(step.node, outcome.output, outcome.added)
        try:
            decision = coordinator.decide(step.definition, state, succeeded)
            return _told_of_bound(step, state, outcome, decision), decision
        except FanOutError as error:
            outcome = Outcome(failure=Failure(error.code, str(error), transient=False))
        except DefinitionError as error:
            outcome = Outcome(failure=Failure("added_steps_refused", str(error), transient=False))
        except ExpressionError as error:
            outcome = Outcome(failure=Failure("expression_failed", str(error), transient=False))
    assert outcome.failure is not None
    failed = StepFailed(
        node=step.node,
        failure=outcome.failure,
        attempt=step.attempt - step.attempts_before,
        policy=step.policy,
        seconds_left=step.workflow_seconds_left,
        jitter=random.random(),
        lost_workers=lost_workers_with(step, outcome.failure),
    )
    return outcome, coordinator.decide(step.definition, state, failed)


def _told_of_bound(step: LeasedStep, state: WorkflowState, outcome: Outcome, decision: Decision) -> Outcome:
    """Says of a loop that it has ended at its bound, not by its condition."""
    spec = step.spec
    if spec.until is None or (decision.expand and decision.expand[0].node == spec.key):
        return outcome
    if not coordinator.goes_round(replace(spec, max_iterations=sys.maxsize), 0, outcome.output):
        return outcome
    message = (
        f"Loop '{spec.key}' ended after {spec.max_iterations} iterations; its condition does not hold yet."
    )
    note = {"code": "loop_bound_reached", "message": message}
    return replace(outcome, degradations=(*outcome.degradations, note))


def outcome_of_deferral(deferred: CallDeferred, call: CallContext, workflow_seconds_left: float) -> Outcome:
    """A wait; or a failure, where the workflow's time would be up before it is over.

    Budget may come any moment, so for that it waits all the same. What is not as asked for of a call that a batch has
    is said now: the next attempt only replays its answer. And so is that it was held.
    """
    waiting_for = WaitingFor(deferred.waiting_for)
    if deferred.seconds >= workflow_seconds_left and waiting_for is not WaitingFor.BUDGET:
        return Outcome(failure=failure_of(deferred))
    told: tuple[Mapping[str, str], ...] = ()
    if waiting_for is WaitingFor.PROVIDER_BATCH:
        told = tuple(call.degradations)
    elif deferred.needs is not None:
        told = ({"code": "budget_held", "message": deferred.message},)
    seconds = min(deferred.seconds, max(0.0, workflow_seconds_left))
    wait = Wait(waiting_for, seconds, deferred.code, deferred.message, deferred.needs)
    return Outcome(wait=wait, degradations=told)


def outcome_of_wait(deferred: StepDeferred, workflow_seconds_left: float) -> Outcome:
    """A wait that the agent asked for; it ends with the workflow's time, if that is up before."""
    seconds = min(deferred.seconds, max(0.0, workflow_seconds_left))
    return Outcome(wait=Wait(deferred.waiting_for, seconds, deferred.code, deferred.message))


def lost_workers_with(step: LeasedStep, failure: Failure) -> int:
    """How many attempts of the step ended with their worker, this one included."""
    return step.lost_workers + (failure.code == WORKER_LOST)


def check_output(output: Any) -> None:
    """Raises StepError for an output that cannot be stored: the attempt must be finished, and paid for, all the same."""
    try:
        orjson.dumps(output, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        message = (
            f"The agent's output is no JSON ({error}); have it return objects, lists, texts and numbers."
        )
        raise StepError("output_not_json", message) from None


def failure_of(error: Exception) -> Failure:
    """What an agent's exception says: its class of failure, and a traceback without values."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}"[:MAX_CLASS_CHARACTERS]
    told: dict[str, Any] = {"traceback": _traceback_of(error, kind), "error_class": kind}
    if isinstance(error, ModelError):
        code = error.code[:MAX_CODE_CHARACTERS]
        return Failure(code, error.message, error.transient, error.retry_after_seconds, **told)
    if isinstance(error, StepError):
        return Failure(error.code[:MAX_CODE_CHARACTERS], error.message, error.transient, **told)
    # The text of an unforeseen exception may quote a prompt or an output: only its class is kept.
    message = f"The agent raised {type(error).__name__}; its traceback is with the attempt."
    return Failure("agent_error", message, transient=True, **told)


def _traceback_of(error: Exception, kind: str) -> str:
    """Where it was raised, and the class of what was raised: neither its text nor any value."""
    frames = traceback.extract_tb(error.__traceback__)
    cut = f"  … {len(frames) - MAX_TRACEBACK_FRAMES} frames …\n" if len(frames) > MAX_TRACEBACK_FRAMES else ""
    kept = traceback.StackSummary.from_list(frames[-MAX_TRACEBACK_FRAMES:])
    return f"{cut}{''.join(kept.format())}{kind}"
