"""What it takes to go on from a step that gave up: a pure decision, as those of the coordinator are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agentplatform.workflows.coordinator import set_free
from agentplatform.workflows.decisions import (
    Decision,
    Expansion,
    IllegalEvent,
    NodeState,
    WorkflowState,
    apply,
)
from agentplatform.workflows.definition import Definition
from agentplatform.workflows.statuses import StepStatus, WorkflowStatus

NOTHING = Decision()
GIVEN_UP = (StepStatus.DEAD, StepStatus.SKIPPED)


@dataclass(frozen=True, slots=True)
class Requeue:
    """How a workflow goes on from steps that gave up.

    The steps themselves run again; those of the nodes in `line_up`, fan-outs that run a few elements at a time, as
    there is room. All steps of the nodes in `block`, which were made with what the given-up ones lacked, wait for them
    again; those in `withdraw` are fan-outs whose list will be made anew, and loops, so their steps cease to be. Every
    step that was cancelled with the workflow is blocked, then the nodes in `activate` become ready. `then` begins loops
    anew, and starts what bounded fan-outs have room for.
    """

    block: tuple[str, ...]
    withdraw: tuple[str, ...]
    activate: tuple[str, ...]
    then: Decision = NOTHING
    line_up: tuple[str, ...] = ()


def decide_requeue(definition: Definition, state: WorkflowState, nodes: Mapping[str, int]) -> Requeue:
    """How to go on from `nodes`: so many given-up steps of each are to run again.

    Raises IllegalEvent, with what to do instead: for a workflow that succeeded or was cancelled; where one of its
    dead steps is left out; and, while it still runs, where something that depends on the steps has begun.
    """
    dependents = dependents_of(definition, nodes)
    withdraw = tuple(
        spec.key
        for spec in definition.steps
        if spec.list_source in {*nodes, *dependents} or (spec.until is not None and spec.key in dependents)
    )
    block = tuple(
        spec.key for spec in definition.steps if spec.key in dependents and spec.key not in withdraw
    )
    line_up = tuple(
        spec.key
        for spec in definition.steps
        if spec.key in nodes and spec.key not in dependents and spec.max_concurrent is not None
    )
    _require_legal(definition, state, nodes, dependents)
    loops = tuple(
        Expansion(spec.key, 1, StepStatus.BLOCKED)
        for spec in definition.steps
        if spec.key in withdraw and spec.until is not None
    )
    after = apply(
        _blocked_again(state, nodes, Requeue(block, withdraw, (), line_up=line_up)), Decision(expand=loops)
    )
    free = set_free(definition, after, Decision())
    then = replace(free, activate=(), expand=(*loops, *free.expand))
    return Requeue(block, withdraw, free.activate, then, line_up)


def apply_requeue(state: WorkflowState, requeue: Requeue, nodes: Mapping[str, int]) -> WorkflowState:
    """The state after it; pure, and the same that the database reaches when none of the steps is delayed."""
    after = _blocked_again(state, nodes, requeue)
    moved = dict(after.nodes)
    for key in requeue.activate:
        blocked = moved[key].counts.get(StepStatus.BLOCKED, 0)
        moved[key] = moved[key].moved(StepStatus.BLOCKED, StepStatus.READY, blocked)
    return apply(WorkflowState(after.status, moved), requeue.then)


def _blocked_again(state: WorkflowState, nodes: Mapping[str, int], requeue: Requeue) -> WorkflowState:
    after: dict[str, NodeState] = {}
    for key, node in state.nodes.items():
        if key in requeue.withdraw:
            after[key] = NodeState(None)
        elif key in requeue.block:
            steps = sum(node.counts.values())
            after[key] = replace(node, counts={StepStatus.BLOCKED: steps} if steps else {})
        else:
            node = node.moved(
                StepStatus.CANCELLED, StepStatus.BLOCKED, node.counts.get(StepStatus.CANCELLED, 0)
            )
            target = StepStatus.BLOCKED if key in requeue.line_up else StepStatus.READY
            after[key] = _run_again(node, nodes.get(key, 0), target)
    status = WorkflowStatus.RUNNING if state.status.is_terminal else state.status
    return WorkflowState(status, after)


def _run_again(node: NodeState, count: int, target: StepStatus) -> NodeState:
    for status in GIVEN_UP:
        moved = min(count, node.counts.get(status, 0))
        if moved:
            node = node.moved(status, target, moved)
            count -= moved
    return node


def dependents_of(definition: Definition, nodes: Mapping[str, int]) -> frozenset[str]:
    """All that waits for one of `nodes`, directly or through others."""
    found: set[str] = set()
    front = set(nodes)
    while front:
        front = {spec.key for key in front for spec in definition.dependents(key)} - found
        found |= front
    return frozenset(found)


def _require_legal(
    definition: Definition, state: WorkflowState, nodes: Mapping[str, int], dependents: frozenset[str]
) -> None:
    if state.status in (WorkflowStatus.SUCCEEDED, WorkflowStatus.CANCELLED):
        raise IllegalEvent(f"the workflow is {state.status}; submit a new one")
    for key, count in nodes.items():
        given_up = sum(state.nodes[key].counts.get(status, 0) for status in GIVEN_UP)
        if given_up < count:
            raise IllegalEvent(f"{count} steps of '{key}' are to run again, but {given_up} have given up")
    for key, node in state.nodes.items():
        if node.counts.get(StepStatus.DEAD, 0) > nodes.get(key, 0) and key not in dependents:
            raise IllegalEvent(f"its step '{key}' is dead: requeue that as well")
        begun = sum(n for status, n in node.counts.items() if status is not StepStatus.BLOCKED)
        if not state.status.is_terminal and key in dependents and begun:
            raise IllegalEvent(f"it has gone on with step '{key}'; requeue when it has ended")
