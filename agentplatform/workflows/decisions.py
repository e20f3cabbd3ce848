"""What happens in a run and what follows from it, as data; and the state after a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentplatform.execution.retry import Failure, RetryPolicy
from agentplatform.workflows.definition import AddedSteps
from agentplatform.workflows.statuses import StepStatus, WaitingFor, WorkflowStatus


@dataclass(frozen=True, slots=True)
class NodeState:
    """The steps of one node: how many there are (None until its list is known) and how many in each status."""

    total: int | None
    counts: Mapping[StepStatus, int] = field(default_factory=dict)

    @property
    def unfinished(self) -> int:
        """How many of its steps there are that have not ended and are not blocked."""
        return sum(
            count
            for status, count in self.counts.items()
            if not status.is_terminal and status is not StepStatus.BLOCKED
        )

    @property
    def is_omitted(self) -> bool:
        """Whether it has steps, all of which were omitted."""
        return bool(self.total) and self.counts.get(StepStatus.OMITTED, 0) == self.total

    @property
    def has_output(self) -> bool:
        return self.counts.get(StepStatus.SUCCEEDED, 0) > 0

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
    """A worker that held the lease finished the step with this output; its agent may have added steps to the run."""

    node: str
    output: Any
    added: AddedSteps | None = None


@dataclass(frozen=True, slots=True)
class StepOmitted:
    """The step's condition does not hold."""

    node: str


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
    | StepOmitted
    | StepFailed
    | StepWaits
    | CancelRequested
    | DeadlinePassed
    | PauseRequested
    | ResumeRequested
)


@dataclass(frozen=True, slots=True)
class Expansion:
    """`count` steps come into being for `node`, in this status; a loop's one by one, from `first_index` on."""

    node: str
    count: int
    status: StepStatus
    first_index: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """`count` blocked steps of `node` become ready, the first ones, or as many as there are: of a fan-out that runs a
    few at a time."""

    node: str
    count: int


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
    `waiting_for` what and `delay_seconds` until it is ready. `activate` names nodes whose blocked steps become ready,
    all of them, `release` those of which a few do, and `omit` those whose blocked steps are not to run. `added` are
    steps that come into the run's definition. An `ending` cancels every step that has not ended. `status` is the
    workflow's new status where it changes without ending.
    A decision that `commutes` is the same whatever other steps of its node have ended meanwhile, as long as some have
    not: elements of a fan-out need not be decided on one after another.
    """

    node: str | None = None
    step: StepStatus | None = None
    delay_seconds: float = 0.0
    waiting_for: WaitingFor | None = None
    activate: tuple[str, ...] = ()
    release: tuple[Release, ...] = ()
    omit: tuple[str, ...] = ()
    expand: tuple[Expansion, ...] = ()
    added: AddedSteps | None = None
    ending: Ending | None = None
    status: WorkflowStatus | None = None
    commutes: bool = False


class IllegalEvent(ValueError):
    """Nothing can be changed by the event: the step or the workflow that it speaks of is not in a status for it."""


def apply(state: WorkflowState, decision: Decision) -> WorkflowState:
    """The state after `decision`; pure, and the same that the database reaches."""
    nodes = dict(state.nodes)
    for expansion in decision.expand:
        nodes[expansion.node] = _expanded(nodes.get(expansion.node), expansion)
    if decision.node is not None and decision.step is not None:
        nodes[decision.node] = nodes[decision.node].moved(StepStatus.RUNNING, decision.step)
    for key in decision.activate:
        blocked = nodes[key].counts.get(StepStatus.BLOCKED, 0)
        nodes[key] = nodes[key].moved(StepStatus.BLOCKED, StepStatus.READY, blocked)
    for release in decision.release:
        released = min(release.count, nodes[release.node].counts.get(StepStatus.BLOCKED, 0))
        nodes[release.node] = nodes[release.node].moved(StepStatus.BLOCKED, StepStatus.READY, released)
    for key in decision.omit:
        blocked = nodes[key].counts.get(StepStatus.BLOCKED, 0)
        nodes[key] = nodes[key].moved(StepStatus.BLOCKED, StepStatus.OMITTED, blocked)
    if decision.ending is None:
        return WorkflowState(decision.status or state.status, nodes)
    for key, node in nodes.items():
        for status, count in list(node.counts.items()):
            if not status.is_terminal:
                nodes[key] = nodes[key].moved(status, StepStatus.CANCELLED, count)
    return WorkflowState(decision.ending.status, nodes)


def _expanded(node: NodeState | None, expansion: Expansion) -> NodeState:
    """With `first_index`, the node has so many steps already."""
    counts = dict(node.counts) if node is not None and expansion.first_index else {}
    if expansion.count:
        counts[expansion.status] = counts.get(expansion.status, 0) + expansion.count
    return NodeState(expansion.first_index + expansion.count, counts)


def claimed(state: WorkflowState, node: str, source: StepStatus) -> WorkflowState:
    """The state after one step of `node` went from `source` to running."""
    nodes = {**state.nodes, node: state.nodes[node].moved(source, StepStatus.RUNNING)}
    return WorkflowState(state.status, nodes)
