"""The coordinator: a pure reducer that decides what happens next in a workflow. It runs no inference.

`plan` makes the first decision, `decide` every later one, and `apply` gives the state after a decision.
Storing a decision, fenced and in one transaction, is the caller's part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentplatform.execution.retry import Failure, RetryPolicy, retry_delay_seconds
from agentplatform.workflows.definition import INPUT, Definition, StepSpec, list_at
from agentplatform.workflows.statuses import StepStatus, WaitingFor, WorkflowStatus

NO_TIME_SECONDS = 0.1
"""A workflow with so little time left has come to its deadline: a worker's clock may be that far from it."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """The steps of one node: how many there are (None until its list is known) and how many in each status."""

    total: int | None
    counts: Mapping[StepStatus, int] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        return self.total is not None and self.total == sum(
            count for status, count in self.counts.items() if status.is_terminal
        )

    def moved(self, source: StepStatus, target: StepStatus, count: int = 1) -> NodeState:
        """This node after `count` steps went from `source` to `target`."""
        counts = dict(self.counts)
        counts[source] = counts.get(source, 0) - count
        counts[target] = counts.get(target, 0) + count
        return replace(self, counts={status: n for status, n in counts.items() if n})


@dataclass(frozen=True, slots=True)
class WorkflowState:
    """All that the reducer needs to know of a run."""

    status: WorkflowStatus
    nodes: Mapping[str, NodeState]


@dataclass(frozen=True, slots=True)
class StepSucceeded:
    """A worker that held the lease finished the step with this output."""

    node: str
    output: Any


@dataclass(frozen=True, slots=True)
class StepFailed:
    """An attempt failed, or its worker was lost. `jitter` is drawn from [0, 1) by the caller.

    `attempt` counts the attempts since the step was last requeued, `lost_workers` those of them that ended with
    their worker, this one included. `seconds_left` is the workflow's time.
    """

    node: str
    failure: Failure
    attempt: int
    policy: RetryPolicy
    seconds_left: float
    jitter: float
    lost_workers: int = 0


@dataclass(frozen=True, slots=True)
class StepWaits:
    """An attempt gave its slot up without having failed: the step goes on in `seconds`, or when it is woken."""

    node: str
    waiting_for: WaitingFor
    seconds: float


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody asked for the workflow to end."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The workflow's own deadline went by."""


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """Somebody asked that no further step starts; steps that run may end."""


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    """Somebody asked that a paused workflow goes on."""


Event = (
    StepSucceeded
    | StepFailed
    | StepWaits
    | CancelRequested
    | DeadlinePassed
    | PauseRequested
    | ResumeRequested
)


@dataclass(frozen=True, slots=True)
class Expansion:
    """`count` steps come into being for `node`, in this status."""

    node: str
    count: int
    status: StepStatus


@dataclass(frozen=True, slots=True)
class Ending:
    """The workflow ends. `results` are the nodes whose outputs it has; `error` is None unless parts are missing.

    `degradations` has a note for each part that a partial result lacks because the workflow ended before it.
    """

    status: WorkflowStatus
    results: tuple[str, ...] = ()
    error: Mapping[str, str] | None = None
    degradations: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens next.

    `step` is the new status of the step the event spoke of (None when it spoke of none) and, for one that waits,
    `waiting_for` what and `delay_seconds` until it is ready. `activate` names nodes whose blocked steps become ready. An `ending`
    cancels every step that has not ended. `status` is the workflow's new status where it changes without ending.
    """

    node: str | None = None
    step: StepStatus | None = None
    delay_seconds: float = 0.0
    waiting_for: WaitingFor | None = None
    activate: tuple[str, ...] = ()
    expand: tuple[Expansion, ...] = ()
    ending: Ending | None = None
    status: WorkflowStatus | None = None


class IllegalEvent(ValueError):
    """Nothing can be changed by the event: the step or the workflow that it speaks of is not in a status for it."""


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
        status = StepStatus.BLOCKED if spec.sources else StepStatus.READY
        expansions.append(Expansion(spec.key, count, status))
    state = WorkflowState(WorkflowStatus.RUNNING, nodes)
    return state, _settle_empty(definition, state, Decision(expand=tuple(expansions)))


def decide(definition: Definition, state: WorkflowState, event: Event) -> Decision:
    """What `event` leads to; raises IllegalEvent when nothing in `state` can be changed by it."""
    if state.status.is_terminal:
        raise IllegalEvent(f"the workflow has ended as {state.status}")
    match event:
        case StepSucceeded():
            return _after_success(definition, state, event)
        case StepFailed():
            return _after_failure(definition, state, event)
        case StepWaits():
            _require_running(state, event.node)
            return _wait(event.node, event.waiting_for, event.seconds)
        case CancelRequested():
            return Decision(ending=Ending(WorkflowStatus.CANCELLED))
        case DeadlinePassed():
            return Decision(ending=_end_at_deadline(definition, state))
        case PauseRequested():
            paused = state.status is WorkflowStatus.PAUSED
            return Decision(status=None if paused else WorkflowStatus.PAUSED)
        case ResumeRequested():
            return _resume(state)


def apply(state: WorkflowState, decision: Decision) -> WorkflowState:
    """The state after `decision`; pure, and the same that the database reaches."""
    nodes = dict(state.nodes)
    for expansion in decision.expand:
        counts = {expansion.status: expansion.count} if expansion.count else {}
        nodes[expansion.node] = NodeState(expansion.count, counts)
    if decision.node is not None and decision.step is not None:
        nodes[decision.node] = nodes[decision.node].moved(StepStatus.RUNNING, decision.step)
    for key in decision.activate:
        blocked = nodes[key].counts.get(StepStatus.BLOCKED, 0)
        nodes[key] = nodes[key].moved(StepStatus.BLOCKED, StepStatus.READY, blocked)
    if decision.ending is None:
        return WorkflowState(decision.status or state.status, nodes)
    for key, node in nodes.items():
        for status, count in list(node.counts.items()):
            if not status.is_terminal:
                nodes[key] = nodes[key].moved(status, StepStatus.CANCELLED, count)
    return WorkflowState(decision.ending.status, nodes)


def claimed(state: WorkflowState, node: str, source: StepStatus) -> WorkflowState:
    """The state after one step of `node` went from `source` to running."""
    nodes = {**state.nodes, node: state.nodes[node].moved(source, StepStatus.RUNNING)}
    return WorkflowState(state.status, nodes)


def _after_success(definition: Definition, state: WorkflowState, event: StepSucceeded) -> Decision:
    _require_running(state, event.node)
    expansions = []
    for spec in definition.steps:
        if spec.for_each is not None and spec.for_each.split(".")[0] == event.node:
            expansions.append(_expansion(definition, spec, event, state))
    decision = Decision(node=event.node, step=StepStatus.SUCCEEDED, expand=tuple(expansions))
    return _settle(definition, state, decision, event.node)


def _after_failure(definition: Definition, state: WorkflowState, event: StepFailed) -> Decision:
    _require_running(state, event.node)
    delay = retry_delay_seconds(
        event.policy,
        event.failure,
        attempt=event.attempt,
        seconds_left=event.seconds_left,
        jitter=event.jitter,
        lost_workers=event.lost_workers,
    )
    if delay is not None:
        if delay > 0:
            return _wait(event.node, WaitingFor.TIMER, delay)
        return Decision(node=event.node, step=StepStatus.READY)
    if event.seconds_left <= NO_TIME_SECONDS and event.failure.transient:
        # The deadline broke it off, or came before it could be tried again: nothing is said against the step.
        ending = _end_at_deadline(definition, state)
        return Decision(node=event.node, step=StepStatus.CANCELLED, ending=ending)
    if definition.step(event.node).on_failure == "skip":
        expansions = tuple(
            Expansion(spec.key, 0, StepStatus.BLOCKED)
            for spec in definition.steps
            if spec.for_each is not None and spec.for_each.split(".")[0] == event.node
        )
        decision = Decision(node=event.node, step=StepStatus.SKIPPED, expand=expansions)
        return _settle(definition, state, decision, event.node)
    error = {"code": event.failure.code, "message": event.failure.message, "step": event.node}
    return Decision(node=event.node, step=StepStatus.DEAD, ending=_end_early(definition, state, error))


def _wait(node: str, waiting_for: WaitingFor, seconds: float) -> Decision:
    return Decision(node=node, step=StepStatus.WAITING, delay_seconds=seconds, waiting_for=waiting_for)


def _settle(definition: Definition, state: WorkflowState, decision: Decision, node: str) -> Decision:
    """Completes `decision` with what the settling of `node` sets free: successors, or the end."""
    if not apply(state, decision).nodes[node].is_settled:
        return decision
    return _settle_empty(definition, state, decision)


def is_done(definition: Definition, state: WorkflowState, key: str) -> bool:
    """Whether `key` and, for a node over an empty list, all that it waited for have ended."""
    node = state.nodes[key]
    if not node.is_settled:
        return False
    return bool(node.total) or all(is_done(definition, state, s) for s in definition.step(key).sources)


def _settle_empty(definition: Definition, state: WorkflowState, decision: Decision) -> Decision:
    """Activates every node whose sources are settled; nodes over an empty list settle at once, in turn."""
    after = apply(state, decision)
    activate = tuple(
        spec.key
        for spec in definition.steps
        if after.nodes[spec.key].counts.get(StepStatus.BLOCKED, 0)
        and all(is_done(definition, after, source) for source in spec.sources)
    )
    decision = replace(decision, activate=activate)
    if activate or not all(node.is_settled for node in after.nodes.values()):
        return decision
    return replace(decision, ending=_full_ending(definition, after))


def _full_ending(definition: Definition, after: WorkflowState) -> Ending:
    skipped = [key for key, node in after.nodes.items() if node.counts.get(StepStatus.SKIPPED, 0)]
    if not skipped:
        return Ending(WorkflowStatus.SUCCEEDED, (definition.result,))
    error = {
        "code": "steps_skipped",
        "message": f"The result was made without: {', '.join(skipped)}.",
    }
    if not _has_output(after, definition.result):
        return Ending(WorkflowStatus.FAILED, (), error)
    return Ending(WorkflowStatus.PARTIAL, (definition.result,), error)


def _end_early(definition: Definition, state: WorkflowState, error: Mapping[str, str]) -> Ending:
    """The end that a dead step brings: with what there is only where the definition allows that."""
    if not definition.allow_partial:
        return Ending(WorkflowStatus.FAILED, (), error)
    return _end_with_what_there_is(definition, state, error, f"step '{error['step']}' gave up")


def _end_at_deadline(definition: Definition, state: WorkflowState) -> Ending:
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


def _missing_parts(definition: Definition, state: WorkflowState, why: str) -> tuple[Mapping[str, str], ...]:
    """A note for each node that has not all of its outputs. Skipped steps have notes of their own."""
    notes = []
    for spec in definition.steps:
        node = state.nodes[spec.key]
        there = sum(node.counts.get(status, 0) for status in (StepStatus.SUCCEEDED, StepStatus.SKIPPED))
        if node.total == there:
            continue
        part = f"Step '{spec.key}' has no output"
        if node.total is not None and spec.for_each is not None:
            part = f"{node.total - there} of {node.total} elements of step '{spec.key}' have no output"
        notes.append({"code": "step_missing", "message": f"{part}: {why}.", "step": spec.key})
    return tuple(notes)


def _resume(state: WorkflowState) -> Decision:
    if state.status is WorkflowStatus.HELD:
        raise IllegalEvent("the workflow waits for budget, and goes on by itself when there is some")
    paused = state.status is WorkflowStatus.PAUSED
    return Decision(status=WorkflowStatus.RUNNING if paused else None)


def _usable_results(definition: Definition, state: WorkflowState) -> tuple[str, ...]:
    """The furthest outputs there are: of the result, or else of every node that nothing finished builds upon."""
    if _has_output(state, definition.result):
        return (definition.result,)
    return tuple(
        spec.key
        for spec in definition.steps
        if _has_output(state, spec.key)
        and not any(_has_output(state, later.key) for later in definition.dependents(spec.key))
    )


def _has_output(state: WorkflowState, node: str) -> bool:
    return state.nodes[node].counts.get(StepStatus.SUCCEEDED, 0) > 0


def _expansion(
    definition: Definition, spec: StepSpec, event: StepSucceeded, state: WorkflowState
) -> Expansion:
    assert spec.for_each is not None
    _, *path = spec.for_each.split(".")
    count = len(list_at(path, event.output))
    others = spec.sources - {event.node}
    ready = all(is_done(definition, state, source) for source in others)
    return Expansion(spec.key, count, StepStatus.READY if ready else StepStatus.BLOCKED)


def _require_running(state: WorkflowState, node: str) -> None:
    if state.nodes[node].counts.get(StepStatus.RUNNING, 0) < 1:
        raise IllegalEvent(f"no step of '{node}' is running")
