"""Definitions with conditions, loops, bounded fan-outs, added steps, runs within runs, waits."""

from __future__ import annotations

from typing import Any

from agentplatform.agents.agent import StepContext
from agentplatform.agents.registry import registry
from agentplatform.workflows.definition import Definition, StepSpec


@registry.agent("count_up")
class CountUp:
    """One more than the iteration before said."""

    def run(self, step: StepContext) -> Any:
        return {"count": (step.previous or {"count": 0})["count"] + 1, "iteration": step.iteration}


@registry.agent("add_steps")
class AddSteps:
    """Adds `input.add` steps, each an `echo_key`; with `input.agent` of another agent."""

    def run(self, step: StepContext) -> Any:
        for number in range(int(step.input["add"])):
            step.add_step(StepSpec(f"added_{number}", str(step.input.get("agent", "echo_key"))))
        return {"added": step.input["add"]}


@registry.agent("echo_key")
class EchoKey:
    """Returns its own key, and what it needs."""

    def run(self, step: StepContext) -> Any:
        return {"key": step.key, "needs": sorted(step.needs)}


@registry.agent("fail_some")
class FailSome:
    """Fails for elements that say so."""

    def run(self, step: StepContext) -> Any:
        if step.item.get("fails"):
            raise ValueError("made to fail")
        return step.item


def _define(type_: str, *steps: StepSpec, **more: Any) -> Definition:
    return registry.define(
        Definition(
            type=type_,
            title=type_.replace("_", " "),
            description="A workload.",
            input_schema={"type": "object"},
            steps=steps,
            result=more.pop("result", steps[-1].key),
            **more,
        )
    )


branches = _define(
    "branches",
    StepSpec("choose", "echo"),
    StepSpec("left", "echo_key", needs=("choose",), when="choose.way == 'left'"),
    StepSpec("right", "echo_key", needs=("choose",), when="choose.way == 'right'"),
    StepSpec("after_left", "echo_key", needs=("left",)),
    StepSpec("join", "gather", needs=("after_left", "right")),
)
some_elements = _define(
    "some_elements",
    StepSpec("each", "double", for_each="input.items", when="item > `1`"),
    StepSpec("all", "gather", needs=("each",)),
)
loop = _define("loop", StepSpec("round", "count_up", until="count >= `3`", max_iterations=5))
short_loop = _define("short_loop", StepSpec("round", "count_up", until="count >= `9`", max_iterations=2))
adding = _define(
    "adding",
    StepSpec("plan", "add_steps", may_add=("echo_key",), max_added_steps=5),
    StepSpec("sum", "gather", needs=("plan",)),
)
bounded = _define(
    "bounded",
    StepSpec("each", "double", for_each="input.items", max_concurrent=3, input_fields=()),
    StepSpec("add_up", "gather", needs=("each",)),
)
bounded_twice = _define(
    "bounded_twice",
    StepSpec("each", "double", for_each="input.items", max_concurrent=3),
    StepSpec("again", "double", needs=("each",), for_each="input.items", max_concurrent=3),
)
bounded_skipping = _define(
    "bounded_skipping",
    StepSpec(
        "each",
        "double",
        for_each="input.items",
        max_concurrent=2,
        on_failure="skip",
        min_succeeded_percent=50,
    ),
    StepSpec("add_up", "gather", needs=("each",)),
)
mostly = _define(
    "mostly",
    StepSpec(
        "each",
        "fail_some",
        for_each="input.items",
        on_failure="skip",
        min_succeeded_percent=50,
        max_attempts=1,
    ),
    StepSpec("all", "gather", needs=("each",)),
)
patient_failure = _define(
    "patient_failure", StepSpec("flaky", "fail", on_failure="retry", max_attempts=1, options={"times": 3})
)
outer = _define(
    "outer",
    StepSpec("first", "echo"),
    StepSpec(
        "inner",
        "run_workflow",
        needs=("first",),
        options={"workflow": "fan_out", "input": {"count": "first.count"}},
    ),
    StepSpec("last", "gather", needs=("inner",)),
)
outer_failing = _define(
    "outer_failing", StepSpec("inner", "run_workflow", options={"workflow": "fails_for_good", "input": {}})
)
outer_each = _define(
    "outer_each",
    StepSpec("inner", "run_workflow", for_each="input.items", options={"workflow": "one_noop", "input": {}}),
)
outer_without_first = _define(
    "outer_without_first",
    StepSpec("first", "noop", on_failure="skip"),
    StepSpec(
        "inner",
        "run_workflow",
        needs=("first",),
        options={"workflow": "fan_out", "input": {"count": "input.count"}},
    ),
)
endless_nesting = _define(
    "endless_nesting", StepSpec("inner", "run_workflow", options={"workflow": "endless_nesting", "input": {}})
)
outer_asking = _define(
    "outer_asking",
    StepSpec(
        "inner",
        "run_workflow",
        for_each="input.items",
        options={"workflow": "one_ask", "input": {"calls": "item"}},
    ),
)
approval = _define(
    "approval",
    StepSpec("draft", "noop"),
    StepSpec(
        "approve",
        "ask_approval",
        needs=("draft",),
        options={"approval": {"title": "Publish it?"}, "expires_in_seconds": 3_600},
    ),
    StepSpec("publish", "echo_key", needs=("approve",), when="approve.approved"),
    deadline_seconds=86_400,
)
late_approval = _define(
    "late_approval",
    StepSpec("first", "noop", on_failure="skip"),
    StepSpec("list", "echo", needs=("first",)),
    StepSpec("sign", "ask_approval", needs=("first",), options={"approval": {"title": "All of it?"}}),
    StepSpec("each", "ask_approval", for_each="list.items", options={"approval": {"title": "This one?"}}),
    StepSpec("all", "gather", needs=("sign", "each")),
)
strict_approval = _define(
    "strict_approval",
    StepSpec("ask", "ask_approval", options={"approval": {"title": "Go on?"}, "on_reject": "fail"}),
)
signalled = _define(
    "signalled",
    StepSpec("await", "wait_for_signal", options={"signal": "go", "expires_in_seconds": 3_600}),
)
timed = _define("timed", StepSpec("pause", "wait", options={"seconds": "input.seconds"}))
