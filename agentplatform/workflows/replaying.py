"""A run made anew from one of its steps on, with the outputs of those before it: a pure decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentplatform.workflows import coordinator
from agentplatform.workflows.decisions import Decision, Expansion, IllegalEvent, NodeState, WorkflowState
from agentplatform.workflows.definition import Definition
from agentplatform.workflows.requeueing import dependents_of
from agentplatform.workflows.statuses import StepStatus, WorkflowStatus

_KEPT = (StepStatus.SUCCEEDED, StepStatus.SKIPPED, StepStatus.OMITTED)


@dataclass(frozen=True, slots=True)
class Replay:
    """The nodes whose outputs are kept, and the new run's first decision, on all the others."""

    kept: tuple[str, ...]
    decision: Decision


def plan_replay(
    definition: Definition, state: WorkflowState, workflow_input: Mapping[str, Any], from_step: str | None
) -> Replay:
    """How to run `definition` again from `from_step` on, or from the start; `state` is that of the run before.

    What does not depend on that step, and has ended with an output or without the need of one, is kept.
    Raises IllegalEvent where what the step needs has not ended so, and FanOutError for an input without a list.
    """
    again = {spec.key for spec in definition.steps}
    if from_step is not None:
        again = {from_step, *dependents_of(definition, {from_step: 1})}
    kept = {
        spec.key for spec in definition.steps if spec.key not in again and _is_kept(state.nodes[spec.key])
    }
    if from_step is not None:
        missing = sorted(definition.step(from_step).sources - kept)
        if missing:
            raise IllegalEvent(
                f"step '{from_step}' needs the outputs of {missing}, which the workflow has not got"
            )
    # What was built on something that is made anew is made anew.
    while lost := {key for key in kept if not definition.step(key).sources <= kept}:
        kept -= lost
    planned, first = coordinator.plan(definition, workflow_input)
    nodes = {key: state.nodes[key] if key in kept else planned.nodes[key] for key in planned.nodes}
    expansions = [expansion for expansion in first.expand if expansion.node not in kept]
    for spec in definition.steps:
        if spec.key not in kept and spec.list_source in kept:
            expansions.append(Expansion(spec.key, state.nodes[spec.key].total or 0, StepStatus.BLOCKED))
    expansions = [replace(expansion, status=StepStatus.BLOCKED) for expansion in expansions]
    decision = Decision(expand=tuple(expansions))
    run = WorkflowState(WorkflowStatus.RUNNING, nodes)
    return Replay(tuple(sorted(kept)), coordinator.set_free(definition, run, decision))


def _is_kept(node: NodeState) -> bool:
    return node.is_settled and all(status in _KEPT for status in node.counts)
