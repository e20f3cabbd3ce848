"""An attempt of a step: what it takes to make it, how it ended, and where it is claimed and finished."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agentplatform.execution.retry import Failure, RetryPolicy
from agentplatform.llm.caching.policy import CacheControl
from agentplatform.llm.journal import StepJournal
from agentplatform.llm.restraint import UNRESTRAINED, Restraint
from agentplatform.llm.tiers import Tier
from agentplatform.workflows.decisions import Decision, WorkflowState
from agentplatform.workflows.definition import AddedSteps, Definition, StepSpec
from agentplatform.workflows.statuses import WaitingFor


@dataclass(frozen=True, slots=True)
class LeasedStep:
    """A running attempt, with all that it takes to decide on its end.

    `attempts_before` count no more: they were made before the step was last requeued, or ended in a wait.
    `lost_workers` is how many of the attempts since the requeueing ended with their worker.
    """

    step_id: uuid.UUID
    attempt: int
    node: str
    label: str
    queue: str
    agent: str
    attempts_before: int
    lost_workers: int
    workflow_id: uuid.UUID
    workflow_seconds_left: float
    definition: Definition
    policy: RetryPolicy
    revision: int
    state: WorkflowState

    @property
    def spec(self) -> StepSpec:
        """Its node in the definition."""
        return self.definition.step(self.node)


@dataclass(frozen=True, slots=True)
class ClaimedStep(LeasedStep):
    """An attempt that this process holds the lease of, with all that its agent needs.

    `tier` is its pinned tier, or AUTO; `max_tier` the highest that its tenant may use at the moment, and `restraint`
    what its budgets ask of its calls; `cache_control` is what its submission said of caches. `definition_id` is of the
    version of its definition, and `session_id` of the conversation that its run is a part of. In a loop, `previous` is the output of the iteration before. `signal` is what it has
    been waiting for, and `waited_seconds` how long ago it began to wait; None where it has not waited.
    """

    index: int | None
    tier: str
    max_tier: Tier | None
    options: Mapping[str, Any]
    seconds_left: float
    tenant_id: uuid.UUID
    input: Mapping[str, Any]
    item: Any
    needs: Mapping[str, Any]
    journal: tuple[Mapping[str, Any], ...]
    api_key_id: uuid.UUID | None = None
    restraint: Restraint = UNRESTRAINED
    definition_id: int = 0
    cache_control: CacheControl = CacheControl.UNSAID
    session_id: uuid.UUID | None = None
    previous: Any = None
    signal: Mapping[str, Any] | None = None
    waited_seconds: float | None = None

    @property
    def key(self) -> str:
        """How the API names it: the node, and in a fan-out or a loop the index."""
        return self.node if self.index is None else f"{self.node}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Wait:
    """An attempt gave its slot up: what it waits for, for how long at most, and why.

    One that waits for a budget says how much of it, as (usd_micros, tokens).
    """

    waiting_for: WaitingFor
    seconds: float
    code: str
    message: str
    needs: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: an output, or the failure or the wait that took its place.

    Or it was omitted, since its condition does not hold. `added` are steps that its agent has added to the run.
    """

    output: Any = None
    failure: Failure | None = None
    wait: Wait | None = None
    omitted: bool = False
    added: AddedSteps | None = None
    degradations: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FinishReply:
    """What became of a finish.

    `outcome` is finished, already, stale, or conflict (decide again on `definition`, `state` and `revision`).
    `next_step` is the workflow's next step, when admission granted it to this worker.
    """

    outcome: str
    ended: bool = False
    state: WorkflowState | None = None
    revision: int = 0
    definition: Definition | None = None
    next_step: ClaimedStep | None = None


class StepStore(Protocol):
    """Where steps are claimed and finished."""

    def claim(self, step_id: uuid.UUID, attempt: int) -> ClaimedStep | None:
        """The step, leased to this process; None when there is nothing to claim (a doubled or late hint)."""

    def finish(
        self,
        step: ClaimedStep,
        outcome: Outcome,
        decision: Decision,
        journal: StepJournal,
        *,
        may_continue: bool,
    ) -> FinishReply:
        """Stores the end of an attempt, fenced, in one transaction. Returns only once the database has answered."""
