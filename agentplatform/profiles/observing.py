"""What drift looks at: the measures of a window's profile, as counts over categories, parts of a whole, or sketches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from agentplatform.profiles.profile import ANSWERS, Counted, Profile, grouped
from agentplatform.profiles.sketch import Sketch


class Measure(StrEnum):
    """What may shift; of a type of task, or (the first two) of the whole platform."""

    TASK_MIX = "task_mix"
    TIER_MIX = "tier_mix"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    EXECUTION_SECONDS = "execution_seconds"
    CACHE_SHARE = "cache_share"
    REFUSAL_SHARE = "refusal_share"
    ESCALATION_SHARE = "escalation_share"
    RETRY_SHARE = "retry_share"


SKETCHES = frozenset({"input_tokens", "output_tokens", "slot_seconds"})
"""Those of a profile that are looked at."""

PLATFORM = ""
"""What stands for the type of task of a measure of the whole platform."""

Place = tuple[str, Measure]
"""A type of task and a measure of it."""


@dataclass(slots=True)
class Mix:
    """Counts by category, of so many independent units."""

    counts: dict[str, int]
    units: int

    def add(self, other: Mix) -> None:
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.units += other.units

    def part(self, name: str) -> Part:
        """One category as a part of all."""
        return Part(self.counts.get(name, 0), sum(self.counts.values()), self.units)


@dataclass(slots=True)
class Part:
    """A part of a whole, of so many independent units."""

    part: int
    whole: int
    units: int

    def add(self, other: Part) -> None:
        self.part += other.part
        self.whole += other.whole
        self.units += other.units

    @property
    def share(self) -> float:
        return self.part / self.whole if self.whole else 0.0

    @property
    def independent(self) -> tuple[int, int]:
        """The part and the whole, in independent units."""
        if self.units >= self.whole:
            return self.part, self.whole
        return round(self.part * self.units / self.whole), self.units


@dataclass(slots=True)
class Values:
    """How values are distributed, of so many independent units."""

    sketch: Sketch
    units: int

    def add(self, other: Values) -> None:
        self.sketch.merge(other.sketch)
        self.units += other.units


Observed = Mix | Part | Values
Observation = dict[Place, Observed]

_PARTS = (
    (Measure.CACHE_SHARE, "cache_hits", ("cache_hits", "settled")),
    (Measure.REFUSAL_SHARE, "refused", ("settled",)),
    (Measure.ESCALATION_SHARE, "escalated", ("settled",)),
)


def observe(profile: Profile) -> Observation:
    """All measures of a window.

    What belongs to one run is not independent (a fan-out asks alike a thousand times), so there are never more units
    than runs.
    """
    runs = grouped(profile.runs, lambda key: key.task_type)
    arrived = {type_: counted["arrived"] for type_, counted in runs.items() if counted["arrived"]}
    seen: Observation = {(PLATFORM, Measure.TASK_MIX): Mix(arrived, sum(arrived.values()))}
    calls = grouped(profile.calls, lambda key: (key.task_type, key.tier) if key.kind in ANSWERS else None)
    all_tiers = _by_tier(calls)
    finished = sum(counted["finished"] for counted in runs.values())
    seen[PLATFORM, Measure.TIER_MIX] = Mix(all_tiers, min(sum(all_tiers.values()), finished))
    steps = grouped(profile.steps, lambda key: key.task_type)
    for type_, counted in runs.items():
        for measure, observed in _of_type(
            counted["finished"],
            steps.get(type_, Counted()),
            {tier: one for (of, tier), one in calls.items() if of == type_},
        ):
            seen[type_, measure] = observed
    return seen


def _of_type(runs: int, steps: Counted, tiers: Mapping[str, Counted]) -> Iterator[tuple[Measure, Observed]]:
    calls = Counted()
    for one in tiers.values():
        calls.add(one)
    by_tier = {tier: one["entries"] for tier, one in tiers.items() if one["entries"]}
    if by_tier:
        yield Measure.TIER_MIX, Mix(by_tier, min(runs, sum(by_tier.values())))
    for measure in (Measure.INPUT_TOKENS, Measure.OUTPUT_TOKENS):
        sketch = calls.sketch(measure.value)
        yield measure, Values(sketch, min(runs, sketch.count))
    slots = steps.sketch("slot_seconds")
    yield Measure.EXECUTION_SECONDS, Values(slots, min(runs, slots.count))
    for measure, part, wholes in _PARTS:
        whole = sum(calls[name] for name in wholes)
        yield measure, Part(calls[part], whole, min(runs, whole))
    yield Measure.RETRY_SHARE, Part(steps["retries"], steps["attempts"], min(runs, steps["attempts"]))


def _by_tier(calls: Mapping[tuple[str, str], Counted]) -> dict[str, int]:
    tiers: dict[str, int] = {}
    for (_, tier), counted in calls.items():
        if counted["entries"]:
            tiers[tier] = tiers.get(tier, 0) + counted["entries"]
    return tiers


def pooled(observed: Iterable[Observed]) -> Observed | None:
    """All in one, without changing any; None of nothing."""
    whole: Observed | None = None
    for one in observed:
        if whole is None:
            whole = _empty(one)
        whole.add(one)  # type: ignore[arg-type]
    return whole


def _empty(like: Observed) -> Observed:
    match like:
        case Mix():
            return Mix({}, 0)
        case Part():
            return Part(0, 0, 0)
        case Values():
            return Values(Sketch(), 0)
