"""A workload as it would be: with another mix of tasks, another share from caches, other tiers of models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from agentplatform.capacity.draws import Draw
from agentplatform.capacity.model import CallLoad, StepLoad, TaskLoad, Workload
from agentplatform.llm.tiers import Tier

SHORTEST_SECONDS = 0.01
"""What a step takes at least, whose calls are answered from a cache."""


class WhatIfError(ValueError):
    """What was asked for cannot be; the message says why."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Changes: shares of runs by type (the others keep what is left), of answers from caches, of calls by tier."""

    mix: Mapping[str, float] = field(default_factory=dict)
    cache_share: float | None = None
    tier_shares: Mapping[str, float] = field(default_factory=dict)

    def apply(self, workload: Workload) -> Workload:
        """The workload with the changes. Raises WhatIfError."""
        changed = _mixed(workload, self.mix) if self.mix else workload
        if self.tier_shares:
            changed = _retiered(changed, self.tier_shares)
        return changed if self.cache_share is None else _cached(changed, self.cache_share)


def tier_shares_of(workload: Workload) -> dict[str, float]:
    """Shares of bought calls by tier."""
    counts: dict[str, float] = defaultdict(float)
    for task in workload.tasks:
        for step in task.steps:
            for call in step.calls:
                counts[call.tier] += (
                    task.arrivals_a_second * (1 - task.given_again) * step.steps_a_run * call.calls
                )
    whole = sum(counts.values())
    return {tier: count / whole for tier, count in sorted(counts.items()) if count} if whole else {}


def cache_share_of(workload: Workload) -> float:
    """Of all answers, the share that came from caches."""
    bought = cached = 0.0
    for task in workload.tasks:
        for step in task.steps:
            weight = task.arrivals_a_second * (1 - task.given_again) * step.steps_a_run
            bought += weight * sum(call.calls for call in step.calls)
            cached += weight * sum(call.cached for call in step.calls)
    return cached / (bought + cached) if bought + cached else 0.0


def shares_at(
    scored: Mapping[tuple[str, float], int], pinned: Mapping[str, int], thresholds: Mapping[str, float]
) -> dict[str, float]:
    """Shares of calls by tier with other thresholds of complexity.

    `scored` counts calls by (tier, complexity), `pinned` those whose tier was not chosen; `thresholds` are the highest
    complexity of each tier. What is above all goes to the highest.
    """
    ordered = sorted(thresholds.items(), key=lambda pair: Tier(pair[0]).rank)
    counts: dict[str, float] = defaultdict(float)
    for tier, count in pinned.items():
        counts[tier] += count
    for (_, complexity), count in scored.items():
        chosen = next((tier for tier, highest in ordered if complexity <= highest), ordered[-1][0])
        counts[chosen] += count
    whole = sum(counts.values())
    return {tier: count / whole for tier, count in counts.items()} if whole else {}


def _mixed(workload: Workload, mix: Mapping[str, float]) -> Workload:
    rates: dict[str, float] = defaultdict(float)
    for task in workload.tasks:
        rates[task.task_type] += task.arrivals_a_second
    whole = sum(rates.values())
    unknown = sorted(set(mix) - {type_ for type_, rate in rates.items() if rate > 0})
    if unknown:
        raise WhatIfError(
            f"Nothing was measured of {', '.join(unknown)}: known are {', '.join(sorted(rates))}."
        )
    left, others = 1 - sum(mix.values()), sum(rate for type_, rate in rates.items() if type_ not in mix)
    if left < -1e-9 or (left > 1e-9 and not others):
        raise WhatIfError("The shares of all types make more or less than 1.")
    factors = {
        type_: (mix[type_] * whole / rate if type_ in mix else max(0.0, left) * whole / others)
        for type_, rate in rates.items()
        if rate > 0
    }
    tasks = tuple(task.scaled(factors.get(task.task_type, 1.0)) for task in workload.tasks)
    return replace(workload, tasks=tasks)


def _cached(workload: Workload, share: float) -> Workload:
    present = cache_share_of(workload)
    if share >= present:
        kept = (1 - share) / (1 - present) if present < 1 else 1.0

        def moved(call: CallLoad) -> float:
            return call.calls * (kept - 1)
    else:

        def moved(call: CallLoad) -> float:
            return call.cached * (1 - share / present)

    return _each_step(workload, lambda step: _step_cached(step, moved))


def _step_cached(step: StepLoad, moved: Callable[[CallLoad], float]) -> StepLoad:
    """A step that buys so many calls more, or fewer where it is negative."""
    changes = [moved(call) for call in step.calls]
    if not any(changes):
        return step
    calls = tuple(
        replace(call, calls=call.calls + change, cached=call.cached - change)
        for call, change in zip(step.calls, changes, strict=True)
    )
    seconds = sum(change * call.seconds.mean for call, change in zip(step.calls, changes, strict=True))
    return replace(step, calls=calls, slot_seconds=_longer(step.slot_seconds, seconds, sum(changes)))


def _longer(slot: Draw, seconds: float, calls: float) -> Draw:
    """A step's time with so many seconds more: less of it, where calls are left out, in the share of steps without."""
    if -1 <= calls < 0 and slot.mean > 0:
        without = max(SHORTEST_SECONDS, slot.mean + seconds / -calls)
        return slot.with_some(-calls, min(without, slot.mean))
    return slot.scaled(max(SHORTEST_SECONDS, slot.mean + seconds) / slot.mean) if slot.mean > 0 else slot


def _retiered(workload: Workload, wanted: Mapping[str, float]) -> Workload:
    present = tier_shares_of(workload)
    unknown = sorted(tier for tier, share in wanted.items() if share > 0 and tier not in present)
    if unknown:
        raise WhatIfError(f"No call was measured on {', '.join(unknown)}: what it would take is not known.")
    whole = sum(wanted.values())
    if abs(whole - 1) > 1e-3:
        raise WhatIfError("The shares of the tiers do not make 1.")
    gain = {tier: max(0.0, wanted.get(tier, 0.0) - share) for tier, share in present.items()}
    if not (gained := sum(gain.values())):
        return workload
    leaves = {tier: max(0.0, 1 - wanted.get(tier, 0.0) / share) for tier, share in present.items()}
    typical = {tier: _typical(workload, tier) for tier in present}

    def change(step: StepLoad) -> StepLoad:
        calls, seconds = [], 0.0
        for call in step.calls:
            leaving = call.calls * leaves.get(call.tier, 0.0)
            calls.append(replace(call, calls=call.calls - leaving))
            for tier, more in gain.items():
                if leaving and more:
                    moved = _moved(call, leaving * more / gained, typical[call.tier], typical[tier], tier)
                    seconds += moved.calls * (moved.seconds.mean - call.seconds.mean)
                    calls.append(moved)
        return replace(step, calls=tuple(calls), slot_seconds=_longer(step.slot_seconds, seconds, 0.0))

    return _each_step(workload, change)


@dataclass(frozen=True, slots=True)
class _Typical:
    rate_key: str
    seconds: float
    usd_micros_a_token: float


def _typical(workload: Workload, tier: str) -> _Typical:
    """Of the calls on a tier: what they cost by the token (one that is written counts as five), and how long they take."""
    calls = cost = tokens = seconds = 0.0
    keys: dict[str, float] = defaultdict(float)
    for task in workload.tasks:
        for step in task.steps:
            for call in step.calls:
                if call.tier == tier:
                    weight = task.arrivals_a_second * step.steps_a_run * call.calls
                    calls += weight
                    cost += weight * call.cost_usd_micros
                    tokens += weight * (call.input_tokens.mean + 5 * call.output_tokens.mean)
                    seconds += weight * call.seconds.mean
                    keys[call.rate_key] += weight
    return _Typical(
        max(keys, key=lambda key: keys[key]),
        seconds / calls if calls else 0.0,
        cost / tokens if tokens else 0.0,
    )


def _moved(call: CallLoad, calls: float, source: _Typical, target: _Typical, tier: str) -> CallLoad:
    """Calls with the same tokens on another tier, as quick and as dear as that one's are."""
    dearer = target.usd_micros_a_token / source.usd_micros_a_token if source.usd_micros_a_token else 1.0
    slower = target.seconds / source.seconds if source.seconds else 1.0
    return replace(
        call,
        tier=tier,
        rate_key=target.rate_key,
        calls=calls,
        cached=0.0,
        seconds=call.seconds.scaled(slower),
        cost_usd_micros=call.cost_usd_micros * dearer,
    )


def _each_step(workload: Workload, change: Callable[[StepLoad], StepLoad]) -> Workload:
    def changed(task: TaskLoad) -> TaskLoad:
        return replace(task, steps=tuple(change(step) for step in task.steps))

    return replace(workload, tasks=tuple(changed(task) for task in workload.tasks))
