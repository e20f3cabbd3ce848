"""The coordinator: a pure reducer that decides what happens next in a workflow. It runs no inference.

`plan` makes the first decision, `decide` every later one, and `decisions.apply` gives the state after a decision.
Storing a decision, fenced and in one transaction, is the caller's part.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agentplatform.execution.retry import retry_delay_seconds
from agentplatform.workflows import expressions
from agentplatform.workflows.decisions import (
    CancelRequested,
    DeadlinePassed,
    Decision,
    Ending,
    Event,
    Expansion,
    IllegalEvent,
    NodeState,
    PauseRequested,
    Release,
    ResumeRequested,
    StepFailed,
    StepOmitted,
    StepSucceeded,
    StepWaits,
    WorkflowState,
    apply,
)
from agentplatform.workflows.definition import INPUT, AddedSteps, Definition, StepSpec, list_at
from agentplatform.workflows.endings import end_at_deadline, end_early, end_of_all
from agentplatform.workflows.statuses import StepStatus, WaitingFor, WorkflowStatus

NO_TIME_SECONDS = 0.1
"""A workflow with so little time left has come to its deadline: a worker's clock may be that far from it."""


def plan(definition: Definition, workflow_input: Mapping[str, Any]) -> tuple[WorkflowState, Decision]:
    """The state of a new run and its first decision; raises FanOutError when a fan-out list is not there."""
    nodes: dict[str, NodeState] = {}
    expansions: list[Expansion] = []
    for spec in definition.steps:
        nodes[spec.key] = NodeState(total=None)
        count = 1
        if spec.for_each is not None:
            source, *path = spec.for_each.split(".")
            if source != INPUT:
                continue
            count = len(list_at(path, workflow_input))
        status = StepStatus.BLOCKED if spec.sources or spec.max_concurrent else StepStatus.READY
        expansions.append(Expansion(spec.key, count, status))
    state = WorkflowState(WorkflowStatus.RUNNING, nodes)
    return state, set_free(definition, state, Decision(expand=tuple(expansions)))


def decide(definition: Definition, state: WorkflowState, event: Event) -> Decision:
    """What `event` leads to; raises IllegalEvent when nothing in `state` can be changed by it."""
    if state.status.is_terminal:
        raise IllegalEvent(f"the workflow has ended as {state.status}")
    match event:
        case StepSucceeded():
            return _after_success(definition, state, event)
        case StepOmitted():
            _require_running(state, event.node)
            return _without(definition, state, event.node, StepStatus.OMITTED)
        case StepFailed():
            return _after_failure(definition, state, event)
        case StepWaits():
            _require_running(state, event.node)
            return _wait(event.node, event.waiting_for, event.seconds)
        case CancelRequested():
            return Decision(ending=Ending(WorkflowStatus.CANCELLED))
        case DeadlinePassed():
            return Decision(ending=end_at_deadline(definition, state))
        case PauseRequested():
            paused = state.status is WorkflowStatus.PAUSED
            return Decision(status=None if paused else WorkflowStatus.PAUSED)
        case ResumeRequested():
            return _resume(state)


def _after_success(definition: Definition, state: WorkflowState, event: StepSucceeded) -> Decision:
    _require_running(state, event.node)
    decision = Decision(node=event.node, step=StepStatus.SUCCEEDED)
    iteration = _next_iteration(definition.step(event.node), state, event.output)
    if iteration is not None:
        return replace(decision, expand=(iteration,))
    expansions = [_expansion(definition, spec, event, state) for spec in definition.fan_outs_over(event.node)]
    added = _new_steps(definition, event.added)
    if added is not None:
        definition = definition.extended((added,))
        expansions += [Expansion(spec.key, 1, StepStatus.BLOCKED) for spec in added.steps]
    decision = replace(decision, expand=tuple(expansions), added=added)
    return _settle(definition, state, decision, event.node)


def _new_steps(definition: Definition, added: AddedSteps | None) -> AddedSteps | None:
    """Those that the same step has not added before: it may have been requeued, and they wait for it again."""
    if added is None:
        return None
    known = {spec.key for spec in definition.steps if added.by in spec.needs}
    new = tuple(spec for spec in added.steps if spec.key not in known)
    return AddedSteps(added.by, new) if new else None


def _next_iteration(spec: StepSpec, state: WorkflowState, output: Any) -> Expansion | None:
    """The next round of a loop, unless its condition holds or its bound is reached."""
    if not goes_round(spec, state.nodes[spec.key].total or 0, output):
        return None
    return Expansion(spec.key, 1, StepStatus.READY, first_index=state.nodes[spec.key].total or 0)


def goes_round(spec: StepSpec, iterations: int, output: Any) -> bool:
    """Whether a loop runs again after so many iterations, of which the last had this output.

    Raises ExpressionError.
    """
    if spec.until is None or spec.max_iterations is None or iterations >= spec.max_iterations:
        return False
    return not expressions.holds(spec.until, output)


def _after_failure(definition: Definition, state: WorkflowState, event: StepFailed) -> Decision:
    _require_running(state, event.node)
    spec = definition.step(event.node)
    patient = spec.on_failure == "retry"
    delay = retry_delay_seconds(
        replace(event.policy, max_attempts=sys.maxsize) if patient else event.policy,
        event.failure,
        attempt=event.attempt,
        seconds_left=event.seconds_left,
        jitter=event.jitter,
        lost_workers=event.lost_workers,
    )
    if delay is not None:
        if delay > 0:
            return _wait(event.node, WaitingFor.TIMER, delay)
        return Decision(node=event.node, step=StepStatus.READY, commutes=True)
    if event.seconds_left <= NO_TIME_SECONDS and event.failure.transient:
        # The deadline broke it off, or came before it could be tried again: nothing is said against the step.
        return Decision(node=event.node, step=StepStatus.CANCELLED, ending=end_at_deadline(definition, state))
    if spec.on_failure == "skip":
        return _without(definition, state, event.node, StepStatus.SKIPPED)
    error = {"code": event.failure.code, "message": event.failure.message, "step": event.node}
    return Decision(node=event.node, step=StepStatus.DEAD, ending=end_early(definition, state, error))


def _without(definition: Definition, state: WorkflowState, node: str, status: StepStatus) -> Decision:
    """The step ends without an output: it was skipped or omitted. Fan-outs over it have no elements."""
    expansions = tuple(Expansion(spec.key, 0, StepStatus.BLOCKED) for spec in definition.fan_outs_over(node))
    return _settle(definition, state, Decision(node=node, step=status, expand=expansions), node)


def _wait(node: str, waiting_for: WaitingFor, seconds: float) -> Decision:
    return Decision(
        node=node,
        step=StepStatus.WAITING,
        delay_seconds=seconds,
        waiting_for=waiting_for,
        commutes=True,
    )


def _settle(definition: Definition, state: WorkflowState, decision: Decision, node: str) -> Decision:
    """Completes `decision` with what the end of a step of `node` sets free: the next element, successors, the end."""
    spec, after = definition.step(node), apply(state, decision)
    if not after.nodes[node].is_settled:
        # The next element takes the place of this one, however many others have ended in the meantime. That there is
        # none is not for this decision to say: a requeue may have put one there before it is stored.
        release = (Release(node, 1),) if _takes_turns(spec, after.nodes[node]) else ()
        return replace(decision, release=release, commutes=spec.for_each is not None)
    error = _too_few(spec, after.nodes[node])
    if error is not None:
        return replace(decision, ending=end_early(definition, after, error))
    return set_free(definition, state, decision)


def _too_few(spec: StepSpec, node: NodeState) -> Mapping[str, str] | None:
    """What is wrong with a fan-out of which fewer elements have succeeded than its definition asks for."""
    counted = (node.total or 0) - node.counts.get(StepStatus.OMITTED, 0)
    succeeded = node.counts.get(StepStatus.SUCCEEDED, 0)
    if succeeded * 100 >= spec.min_succeeded_percent * counted:
        return None
    message = f"{succeeded} of {counted} elements succeeded; at least {spec.min_succeeded_percent} % have to."
    return {"code": "too_few_succeeded", "message": message, "step": spec.key}


def is_done(definition: Definition, state: WorkflowState, key: str) -> bool:
    """Whether `key` and, for a node over an empty list, all that it waited for have ended."""
    node = state.nodes[key]
    if not node.is_settled:
        return False
    return bool(node.total) or all(is_done(definition, state, s) for s in definition.step(key).sources)


def set_free(definition: Definition, state: WorkflowState, decision: Decision) -> Decision:
    """Activates every node whose sources have ended, or the end; nodes over an empty list settle at once, in turn.

    Nodes all of whose needs were omitted are omitted, in turn as well.
    """
    after = apply(state, decision)
    while omit := _omitted_with_their_needs(definition, after):
        expansions = [
            Expansion(spec.key, 0, StepStatus.BLOCKED)
            for key in omit
            for spec in definition.fan_outs_over(key)
        ]
        decision = replace(decision, omit=(*decision.omit, *omit), expand=(*decision.expand, *expansions))
        after = apply(state, decision)
    free = [spec for spec in definition.steps if _is_free(definition, after, spec)]
    activate = tuple(spec.key for spec in free if spec.max_concurrent is None)
    release = tuple(room for spec in free if (room := _room(spec, after.nodes[spec.key])) is not None)
    decision = replace(decision, activate=activate, release=release)
    if activate or release or not all(node.is_settled for node in after.nodes.values()):
        return decision
    return replace(decision, ending=end_of_all(definition, after))


def _is_free(definition: Definition, state: WorkflowState, spec: StepSpec) -> bool:
    """Whether it has blocked steps, and nothing that they wait for."""
    return bool(state.nodes[spec.key].counts.get(StepStatus.BLOCKED, 0)) and all(
        is_done(definition, state, source) for source in spec.sources
    )


def _room(spec: StepSpec, node: NodeState) -> Release | None:
    """The elements of a bounded fan-out that may start beside those that have."""
    if spec.max_concurrent is None:
        return None
    count = min(node.counts.get(StepStatus.BLOCKED, 0), spec.max_concurrent - node.unfinished)
    return Release(spec.key, count) if count > 0 else None


def _takes_turns(spec: StepSpec, node: NodeState) -> bool:
    """Whether it is a fan-out of more elements than may be under way at a time."""
    return spec.max_concurrent is not None and (node.total or 0) > spec.max_concurrent


def _omitted_with_their_needs(definition: Definition, state: WorkflowState) -> tuple[str, ...]:
    return tuple(
        spec.key
        for spec in definition.steps
        if spec.needs
        and _is_free(definition, state, spec)
        and all(state.nodes[need].is_omitted for need in spec.needs)
    )


def _resume(state: WorkflowState) -> Decision:
    if state.status is WorkflowStatus.HELD:
        raise IllegalEvent("the workflow waits for budget, and goes on by itself when there is some")
    paused = state.status is WorkflowStatus.PAUSED
    return Decision(status=WorkflowStatus.RUNNING if paused else None)


def _expansion(
    definition: Definition, spec: StepSpec, event: StepSucceeded, state: WorkflowState
) -> Expansion:
    assert spec.for_each is not None
    _, *path = spec.for_each.split(".")
    count = len(list_at(path, event.output))
    others = spec.sources - {event.node}
    ready = spec.max_concurrent is None and all(is_done(definition, state, source) for source in others)
    return Expansion(spec.key, count, StepStatus.READY if ready else StepStatus.BLOCKED)


def _require_running(state: WorkflowState, node: str) -> None:
    if state.nodes[node].counts.get(StepStatus.RUNNING, 0) < 1:
        raise IllegalEvent(f"no step of '{node}' is running")
