"""Profiles in figures: what pages and the API show of types of tasks, their tiers, steps and calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentplatform.profiles.profile import Counted, Profile, TaskProfile, grouped, task_profiles
from agentplatform.profiles.sketch import Sketch


@dataclass(frozen=True, slots=True)
class Distribution:
    """How one measure is distributed, in the measure's own unit; none of its figures is known without values."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None

    @classmethod
    def of(cls, sketch: Sketch) -> Distribution:
        return cls(sketch.count, sketch.mean, sketch.quantile(0.5), sketch.quantile(0.95))


@dataclass(frozen=True, slots=True)
class TypeRow:
    """The runs of a type: how many arrive, how evenly, where, and what one takes and costs.

    `burstiness` is the squared coefficient of variation of the times between arrivals: 1 when they are independent of
    each other, more when they come in bursts.
    """

    task_type: str
    arrived: int
    arrived_an_hour: float
    burstiness: float | None
    finished: int
    failed_share: float | None
    given_again_share: float | None
    queues: Mapping[str, float]
    tenant_tiers: Mapping[str, float]
    run_seconds: Distribution
    cost_usd_micros: Distribution


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A type of task on one tier of models."""

    task_type: str
    tier: str
    steps: int
    calls: int
    tier_share: float | None
    cache_hit_share: float | None
    retry_share: float | None
    refusal_share: float | None
    escalation_share: float | None
    input_tokens: Distribution
    output_tokens: Distribution
    call_seconds: Distribution
    slot_seconds: Distribution
    wait_seconds: Distribution
    tool_calls: Distribution
    cost_usd_micros: Distribution

    @classmethod
    def of(cls, task: TaskProfile) -> TaskRow:
        calls, steps = task.calls, task.steps
        return cls(
            task_type=task.task_type,
            tier=task.tier,
            steps=steps["steps"],
            calls=calls["entries"],
            tier_share=task.tier_share,
            cache_hit_share=task.cache_hit_share,
            retry_share=task.retry_share,
            refusal_share=task.refusal_share,
            escalation_share=task.escalation_share,
            input_tokens=Distribution.of(calls.sketch("input_tokens")),
            output_tokens=Distribution.of(calls.sketch("output_tokens")),
            call_seconds=Distribution.of(calls.sketch("seconds")),
            slot_seconds=Distribution.of(steps.sketch("slot_seconds")),
            wait_seconds=Distribution.of(steps.sketch("wait_seconds")),
            tool_calls=Distribution.of(steps.sketch("tool_calls")),
            cost_usd_micros=Distribution.of(steps.sketch("cost_usd_micros")),
        )


@dataclass(frozen=True, slots=True)
class NodeRow:
    """The steps of one node of a type's definitions. `steps_a_run` is of runs that ended in the same time."""

    task_type: str
    node: str
    agent: str
    queue: str
    steps: int
    steps_a_run: float | None
    calls_a_step: float
    retry_share: float | None
    slot_seconds: Distribution
    wait_seconds: Distribution
    cost_usd_micros: Distribution


@dataclass(frozen=True, slots=True)
class ProfileReport:
    """A profile in figures, of all types of tasks or of those that were asked for."""

    measured_seconds: float
    types: list[TypeRow]
    tasks: list[TaskRow]
    nodes: list[NodeRow]


def profile_report(profile: Profile, tier: str | None = None) -> ProfileReport:
    """The figures of a profile; of one tier of models, the rows of tasks, if it is named."""
    tasks = [TaskRow.of(task) for task in task_profiles(profile) if tier is None or task.tier == tier]
    return ProfileReport(profile.seconds, _types(profile), tasks, _nodes(profile))


def _types(profile: Profile) -> list[TypeRow]:
    hours = profile.seconds / 3600
    queues = grouped(profile.runs, lambda key: (key.task_type, key.queue))
    tiers = grouped(profile.runs, lambda key: (key.task_type, key.tenant_tier))
    rows = []
    for type_, runs in sorted(grouped(profile.runs, lambda key: key.task_type).items()):
        rows.append(
            TypeRow(
                task_type=type_,
                arrived=runs["arrived"],
                arrived_an_hour=runs["arrived"] / hours if hours else 0.0,
                burstiness=burstiness(runs.sketch("interarrival_seconds")),
                finished=runs["finished"],
                failed_share=runs.share("failed", "finished"),
                given_again_share=runs.share("given_again", "finished"),
                queues=_shares(queues, type_),
                tenant_tiers=_shares(tiers, type_),
                run_seconds=Distribution.of(runs.sketch("run_seconds")),
                cost_usd_micros=Distribution.of(runs.sketch("cost_usd_micros")),
            )
        )
    return rows


def burstiness(between: Sketch) -> float | None:
    """The squared coefficient of variation of times between arrivals; None of fewer than two."""
    count, mean = between.count, between.mean
    if count < 2 or not mean:
        return None
    return sum(here * (value - mean) ** 2 for value, here in between.points()) / (count - 1) / mean**2


def _shares(parts: Mapping[tuple[str, str], Counted], type_: str) -> dict[str, float]:
    own = {name: counted["arrived"] for (of, name), counted in parts.items() if of == type_}
    whole = sum(own.values())
    return {name: count / whole for name, count in sorted(own.items()) if count}


def _nodes(profile: Profile) -> list[NodeRow]:
    finished = grouped(profile.runs, lambda key: key.task_type)
    nodes = grouped(profile.steps, lambda key: (key.task_type, key.node, key.agent, key.queue))
    rows = []
    for (type_, node, agent, queue), steps in sorted(nodes.items()):
        runs = finished[type_]["finished"] if type_ in finished else 0
        rows.append(
            NodeRow(
                task_type=type_,
                node=node,
                agent=agent,
                queue=queue,
                steps=steps["steps"],
                steps_a_run=steps["steps"] / runs if runs else None,
                calls_a_step=steps["calls"] / steps["steps"] if steps["steps"] else 0.0,
                retry_share=steps.share("retries", "attempts"),
                slot_seconds=Distribution.of(steps.sketch("slot_seconds")),
                wait_seconds=Distribution.of(steps.sketch("wait_seconds")),
                cost_usd_micros=Distribution.of(steps.sketch("cost_usd_micros")),
            )
        )
    return rows
