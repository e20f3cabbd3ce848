"""Runs that tests drive by hand."""

from __future__ import annotations

from typing import Any

from agentplatform.execution.retry import Failure, RetryPolicy
from agentplatform.workflows import coordinator, decisions
from agentplatform.workflows.decisions import Decision, StepFailed, StepSucceeded, WorkflowState
from agentplatform.workflows.definition import (
    Definition,
    StepSpec,
)
from agentplatform.workflows.statuses import StepStatus

BLOCKED, READY, RUNNING, WAITING = (
    StepStatus.BLOCKED,
    StepStatus.READY,
    StepStatus.RUNNING,
    StepStatus.WAITING,
)
SUCCEEDED, SKIPPED, DEAD, CANCELLED = (
    StepStatus.SUCCEEDED,
    StepStatus.SKIPPED,
    StepStatus.DEAD,
    StepStatus.CANCELLED,
)
PERMANENT = Failure("bad", "It is bad.", transient=False)
PASSING = Failure("busy", "It is busy.", transient=True)


def define(*steps: StepSpec, **fields: Any) -> Definition:
    """A definition whose result is its last step."""
    return Definition(
        **{
            "type": "t",
            "title": "t",
            "description": "",
            "input_schema": {"type": "object"},
            "steps": steps,
            "result": steps[-1].key,
            **fields,
        }
    )


def spec(key: str, *needs: str, **fields: Any) -> StepSpec:
    """A step."""
    return StepSpec(key, "agent", needs=needs, **fields)


class Run:
    """A run that is driven by hand: each event's decision is applied, and kept as `last`."""

    def __init__(self, definition: Definition, workflow_input: dict[str, Any] | None = None) -> None:
        self.definition = definition
        empty, self.last = coordinator.plan(definition, workflow_input or {})
        self.state: WorkflowState = decisions.apply(empty, self.last)

    def counts(self, node: str) -> dict[StepStatus, int]:
        return dict(self.state.nodes[node].counts)

    def claim(self, *nodes: str) -> None:
        for node in nodes:
            self.state = decisions.claimed(self.state, node, READY)

    def decide(self, event: decisions.Event) -> Decision:
        self.last = coordinator.decide(self.definition, self.state, event)
        self.state = decisions.apply(self.state, self.last)
        return self.last

    def succeed(self, node: str, output: Any = None) -> Decision:
        self.claim(node)
        return self.decide(StepSucceeded(node, output))

    def fail(self, node: str, failure: Failure = PERMANENT, **fields: Any) -> Decision:
        self.claim(node)
        options: dict[str, Any] = {"attempt": 1, "policy": RetryPolicy(3), "seconds_left": 1e6, "jitter": 0.5}
        return self.decide(StepFailed(node, failure, **{**options, **fields}))


DIAMOND = define(spec("a"), spec("b", "a"), spec("c", "a"), spec("d", "b", "c"))
