"""A workload from profiles: what arrived, and what its steps took and cost, by type of task and queue."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from agentplatform.capacity.draws import Draw
from agentplatform.capacity.model import FLAT, HOURS_A_WEEK, CallLoad, Platform, StepLoad, TaskLoad, Workload
from agentplatform.capacity.simulation import Simulation
from agentplatform.llm.catalogue import family_of
from agentplatform.profiles.profile import ANSWERS, Counted, Profile, StepKey, grouped
from agentplatform.profiles.report import burstiness
from agentplatform.profiles.sketch import Sketch, merged
from agentplatform.workflows.definition import Definition
from agentplatform.workflows.step_spec import MINIMUM_STEP_TOKENS, StepSpec

HOURS_A_DAY = 24
_SEASON_ARRIVALS = 20.0
"""What the arrivals of an hour of the week are drawn to the mean by: so many that came evenly."""

_CALIBRATION_STEPS = 4_000

HourOfArrivals = tuple[int, float, Mapping[str, int]]
"""An hour of the week (0: Monday 00:00, UTC), how many seconds of it were measured, and what arrived by type."""


def rate_key_of(provider: str, model: str) -> str:
    """What shares a provider's rates, where nobody has set any: the models of a family."""
    return f"{provider}/{family_of(model)}"


def workload_of(
    profile: Profile,
    definitions: Mapping[str, Definition],
    *,
    hours: Sequence[HourOfArrivals] = (),
    tenant_shares: Mapping[str, tuple[float, ...]] | None = None,
    rate_key: Callable[[str, str], str] = rate_key_of,
) -> Workload:
    """The workload that a profile tells of.

    `hours` say when it arrived; without them arrivals are taken to be even.
    `rate_key` says what a model of a provider shares its rates with.
    Types without a known definition are taken for chains. Waits and dispatch are not known yet: see `calibrated`.
    """
    queues = grouped(profile.runs, lambda key: (key.task_type, key.queue))
    tasks = []
    for (task_type, queue), runs in sorted(queues.items()):
        arrivals = {
            key.tenant_tier: own["arrived"] / profile.seconds
            for key, own in profile.runs.items()
            if (key.task_type, key.queue) == (task_type, queue) and own["arrived"]
        }
        tasks.append(
            TaskLoad(
                task_type,
                queue,
                arrivals,
                _steps(profile, task_type, queue, runs, definitions.get(task_type), rate_key),
                _season(hours, task_type),
                _burstiness(runs.sketch("interarrival_seconds")),
                runs.share("given_again", "finished") or 0.0,
                runs["finished"],
            )
        )
    arrived = sum(runs["arrived"] for runs in profile.runs.values())
    return Workload(tuple(tasks), profile.seconds, arrived, tenant_shares or {})


def calibrated(workload: Workload, platform: Platform, profile: Profile) -> Workload:
    """The same with the seconds that a step needs to start when a slot is free.

    A simulation of what was measured says which share of the steps that are ready at once found a slot free. So many
    of the measured waits, the shortest, were dispatch alone.
    """
    first = {(task.task_type, step.node) for task in workload.tasks for step in task.steps if not step.needs}
    waits = merged(
        counted.sketch("wait_seconds")
        for key, counted in profile.steps.items()
        if (key.task_type, key.node) in first
    )
    if not waits.count:
        return workload
    steps_a_second = sum(task.arrivals_a_second * task.steps_a_run for task in workload.tasks)
    share = 1.0
    dispatch = Draw.of_sketch(waits, 0.5)
    for _ in range(2):
        tried = replace(workload, dispatch_seconds=dispatch)
        seconds = max(workload.measured_seconds, _CALIBRATION_STEPS / max(steps_a_second, 1e-9))
        found = Simulation(tried, platform, seconds=seconds, warm_up_seconds=seconds / 10).run().first_waits
        if found:
            at_once = sum(wait <= max(dispatch.values) for wait in found)
            share = max(0.05, at_once / len(found))
        dispatch = Draw.of_sketch(waits, share)
    return replace(workload, dispatch_seconds=dispatch)


def _steps(
    profile: Profile,
    task_type: str,
    queue: str,
    runs: Counted,
    definition: Definition | None,
    rate_key: Callable[[str, str], str],
) -> tuple[StepLoad, ...]:
    own: dict[str, Counted] = grouped(profile.steps, lambda key: _node(key, task_type, queue))
    everywhere = grouped(profile.steps, lambda key: _node(key, task_type, None))
    ran = runs["finished"] - runs["given_again"]
    if ran <= 0:
        return ()
    specs = {spec.key: spec for spec in definition.steps} if definition else {}
    order = {key: place for place, key in enumerate(specs)}
    nodes = sorted(own, key=lambda node: (order.get(node, len(order)), node))
    loads = []
    for place, node in enumerate(nodes):
        steps, spec = own[node], specs.get(node)
        share, count = _count(steps, ran, runs.sketch(f"fan_out:{node}"), is_loop=bool(spec and spec.until))
        calls = _calls(profile, task_type, node, everywhere[node]["steps"], rate_key)
        bought = sum(call.calls * call.cost_usd_micros for call in calls)
        loads.append(
            StepLoad(
                node,
                _needs(spec, specs, nodes[:place]),
                share,
                count,
                Draw.of_sketch(steps.sketch("slot_seconds")),
                calls,
                spec.estimated_tokens if spec else MINIMUM_STEP_TOKENS,
                bool(spec and spec.until),
                spec.max_concurrent if spec else None,
                steps["cost_usd_micros"] / steps["steps"] - bought if steps["steps"] else 0.0,
                steps["steps"],
            )
        )
    return tuple(loads)


def _node(key: StepKey, task_type: str, queue: str | None) -> str | None:
    return key.node if key.task_type == task_type and queue in (None, key.queue) else None


def _needs(spec: StepSpec | None, specs: Mapping[str, StepSpec], before: list[str]) -> tuple[str, ...]:
    """What a node needs; one that its definition does not have was added by a step, or belongs to a chain."""
    if spec is not None:
        return tuple(sorted(spec.sources))
    adding = tuple(key for key, one in specs.items() if one.may_add)
    return adding or tuple(before[-1:])


def _count(steps: Counted, ran: int, fan_out: Sketch, *, is_loop: bool) -> tuple[float, Draw]:
    """In which share of the runs a node has steps, and how many then."""
    if fan_out.count and fan_out.total:
        whole = Draw.of((float(round(value)), count) for value, count in fan_out.points())
        found = steps["steps"] / (ran * whole.mean)
        return (1.0, whole) if found > 0.97 else (1.0, whole.scaled(found))
    with_any = min(1.0, steps["runs"] / ran)
    a_run = steps["steps"] / max(1, steps["runs"]) if is_loop else 1.0
    if not is_loop:
        return min(1.0, steps["steps"] / ran), Draw.constant(1.0)
    low = math.floor(a_run)
    return with_any, Draw.of([(float(low), 1 - (a_run - low)), (float(low + 1), a_run - low)])


def _calls(
    profile: Profile, task_type: str, node: str, steps: int, rate_key: Callable[[str, str], str]
) -> tuple[CallLoad, ...]:
    """What a step of the node calls; calls in batches take no part of a provider's rates."""
    if not steps:
        return ()
    own = {
        key: counted
        for key, counted in profile.calls.items()
        if (key.task_type, key.node) == (task_type, node) and key.kind in ANSWERS
    }
    hits = grouped(own, lambda key: key.tier if key.kind == "cache_hit" else None)
    bought = [
        (key, counted) for key, counted in own.items() if key.kind != "cache_hit" and counted["settled"]
    ]
    by_tier = {tier: sum(one["settled"] for key, one in bought if key.tier == tier) for tier in hits}
    loads = [
        _call(
            "" if key.kind == "batch" else rate_key(key.provider, key.model),
            key.tier,
            counted,
            steps,
            hits.get(key.tier, Counted())["cache_hits"],
            by_tier.get(key.tier, 0),
        )
        for key, counted in sorted(bought, key=lambda pair: (pair[0].tier, pair[0].provider, pair[0].kind))
    ]
    nothing = Draw.constant(0.0)
    return (
        *loads,
        *(
            CallLoad(tier, "", 0.0, nothing, nothing, nothing, 0.0, counted["cache_hits"] / steps)
            for tier, counted in sorted(hits.items())
            if not by_tier.get(tier)
        ),
    )


def _call(rate_key: str, tier: str, counted: Counted, steps: int, hits: int, bought: int) -> CallLoad:
    return CallLoad(
        tier,
        rate_key,
        counted["settled"] / steps,
        Draw.of_sketch(counted.sketch("input_tokens")),
        Draw.of_sketch(counted.sketch("output_tokens")),
        Draw.of_sketch(counted.sketch("seconds")),
        counted["cost_usd_micros"] / counted["settled"],
        hits / steps * counted["settled"] / bought if bought else 0.0,
    )


def _burstiness(between: Sketch) -> float:
    """That of the times between arrivals; 1 where what was found may be chance."""
    found, count = burstiness(between), between.count
    if found is None or abs(found - 1) < 2 * math.sqrt(8 / max(count, 1)):
        return 1.0
    return found


def _season(hours: Sequence[HourOfArrivals], task_type: str) -> tuple[float, ...]:
    """The factor of each hour of the week: flat of less than a day, and by the hour of the day of less than a week."""
    seconds = [0.0] * HOURS_A_WEEK
    arrived = [0.0] * HOURS_A_WEEK
    for hour, measured, by_type in hours:
        seconds[hour] += measured
        arrived[hour] += by_type.get(task_type, 0)
    covered = sum(1 for one in seconds if one > 0)
    if covered < HOURS_A_DAY or not sum(arrived):
        return FLAT
    if covered < HOURS_A_WEEK:
        for hour in range(HOURS_A_DAY):
            same = range(hour, HOURS_A_WEEK, HOURS_A_DAY)
            whole = sum(seconds[one] for one in same), sum(arrived[one] for one in same)
            for one in same:
                seconds[one], arrived[one] = whole
    mean = sum(arrived) / sum(seconds)
    factors = [
        (count + _SEASON_ARRIVALS) / (mean * measured + _SEASON_ARRIVALS)
        for count, measured in zip(arrived, seconds, strict=True)
    ]
    level = sum(factors) / HOURS_A_WEEK
    return tuple(factor / level for factor in factors)
