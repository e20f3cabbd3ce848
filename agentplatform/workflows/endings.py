"""How a run ends: whole, in part, or without a result."""

from __future__ import annotations

from collections.abc import Mapping

from agentplatform.workflows.decisions import Ending, WorkflowState
from agentplatform.workflows.definition import Definition
from agentplatform.workflows.statuses import StepStatus, WorkflowStatus


def end_of_all(definition: Definition, after: WorkflowState) -> Ending:
    """The end when every step has ended. Where the result's own step was omitted, the furthest outputs are it."""
    skipped = [key for key, node in after.nodes.items() if node.counts.get(StepStatus.SKIPPED, 0)]
    results: tuple[str, ...] = (definition.result,)
    if after.nodes[definition.result].is_omitted:
        results = _usable_results(definition, after)
    if not skipped:
        return Ending(WorkflowStatus.SUCCEEDED, results)
    error = {
        "code": "steps_skipped",
        "message": f"The result was made without: {', '.join(skipped)}.",
    }
    if not any(after.nodes[key].has_output for key in results):
        return Ending(WorkflowStatus.FAILED, (), error)
    return Ending(WorkflowStatus.PARTIAL, results, error)


def end_early(definition: Definition, state: WorkflowState, error: Mapping[str, str]) -> Ending:
    """The end that a dead step brings: with what there is only where the definition allows that."""
    if not definition.allow_partial:
        return Ending(WorkflowStatus.FAILED, (), error)
    return _end_with_what_there_is(definition, state, error, f"step '{error['step']}' gave up")


def end_at_deadline(definition: Definition, state: WorkflowState) -> Ending:
    """The end at the deadline: with what there is, whatever the definition; the tenant has set the time."""
    error = {
        "code": "deadline_exceeded",
        "message": "The workflow's deadline passed; give it more with deadline_seconds.",
    }
    return _end_with_what_there_is(definition, state, error, "the deadline came first")


def _end_with_what_there_is(
    definition: Definition, state: WorkflowState, error: Mapping[str, str], why: str
) -> Ending:
    results = _usable_results(definition, state)
    if not results:
        return Ending(WorkflowStatus.FAILED, (), error)
    return Ending(WorkflowStatus.PARTIAL, results, error, _missing_parts(definition, state, why))


_ACCOUNTED_FOR = (StepStatus.SUCCEEDED, StepStatus.SKIPPED, StepStatus.OMITTED)
"""Steps that are not missing where a run ends early: skipped ones have notes of their own."""


def _missing_parts(definition: Definition, state: WorkflowState, why: str) -> tuple[Mapping[str, str], ...]:
    """A note for each node that has not all of its outputs."""
    notes = []
    for spec in definition.steps:
        node = state.nodes[spec.key]
        there = sum(node.counts.get(status, 0) for status in _ACCOUNTED_FOR)
        if node.total == there:
            continue
        part = f"Step '{spec.key}' has no output"
        if node.total is not None and spec.for_each is not None:
            part = f"{node.total - there} of {node.total} elements of step '{spec.key}' have no output"
        notes.append({"code": "step_missing", "message": f"{part}: {why}.", "step": spec.key})
    return tuple(notes)


def _usable_results(definition: Definition, state: WorkflowState) -> tuple[str, ...]:
    """The furthest outputs there are: of the result, or else of every node that nothing finished builds upon."""
    if state.nodes[definition.result].has_output:
        return (definition.result,)
    return tuple(
        spec.key
        for spec in definition.steps
        if state.nodes[spec.key].has_output
        and not any(state.nodes[later.key].has_output for later in definition.dependents(spec.key))
    )
