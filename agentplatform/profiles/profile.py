"""Profiles: what runs, their steps and their calls took and cost in a time, in counts and sketches that add up.

A profile of a time is a number of rows of three kinds. Rows of different hours that have the same key add up to the
row of both hours, and rows of different keys to what they have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agentplatform.profiles.sketch import Sketch


@dataclass(slots=True)
class Counted:
    """Counts by name, and sketches by name. What was never counted is 0, and its sketch is empty."""

    counts: dict[str, int] = field(default_factory=dict)
    sketches: dict[str, Sketch] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return self.counts.get(name, 0)

    def sketch(self, name: str) -> Sketch:
        return self.sketches.get(name) or Sketch()

    def add(self, other: Counted) -> None:
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        for name, sketch in other.sketches.items():
            self.sketches.setdefault(name, Sketch()).merge(sketch)

    def share(self, part: str, *of: str) -> float | None:
        """One count as a share of the sum of others; None of nothing."""
        whole = sum(self[name] for name in of)
        return self[part] / whole if whole else None


@dataclass(frozen=True, slots=True)
class RunKey:
    task_type: str
    queue: str
    tenant_tier: str


@dataclass(frozen=True, slots=True)
class StepKey:
    """`tier` is the one that the step's last call was made on; empty of a step that made none."""

    task_type: str
    queue: str
    node: str
    agent: str
    tier: str


@dataclass(frozen=True, slots=True)
class CallKey:
    """`kind` is the ledger's: call, batch, embedding, cache_hit or correction."""

    task_type: str
    node: str
    agent: str
    tier: str
    provider: str
    model: str
    kind: str


@dataclass(frozen=True, slots=True)
class Profile:
    """All that was measured in a time of `seconds`. Money is in micro-dollars.

    Of runs: counts `arrived`, `finished`, `succeeded`, `partial`, `failed`, `cancelled`, `given_again` (from the cache),
    `cost_usd_micros`; sketches `interarrival_seconds`, `run_seconds`, `cost_usd_micros`, and `fan_out:NODE`.
    Of steps that ended: counts `steps`, `runs` (that they belong to), `gave_up`, `attempts`, `retries` (attempts after one
    that failed or was lost), `retried`, `calls`, `cache_hits`, `tool_calls`, `tool_failures`, `cost_usd_micros`; sketches
    of what each step took in all its attempts: `slot_seconds`, `wait_seconds` (ready until its last start),
    `input_tokens`, `output_tokens`, `calls`, `tool_calls`, `tool_seconds` (of steps that used tools), `cost_usd_micros`.
    Of calls, as the ledger entered them: counts `entries`, `settled`, `failed`, `unknown`, `refused`, `escalated`,
    `cache_hits`, `input_tokens`, `cache_read_tokens`, `output_tokens`, `cost_usd_micros`, `avoided_usd_micros`; sketches of
    each one that was answered and bought: `input_tokens`, `output_tokens`, `seconds`, `cost_usd_micros`.
    """

    seconds: float
    runs: Mapping[RunKey, Counted]
    steps: Mapping[StepKey, Counted]
    calls: Mapping[CallKey, Counted]


Key = TypeVar("Key", RunKey, StepKey, CallKey)
Name = TypeVar("Name")


def grouped(rows: Mapping[Key, Counted], by: Callable[[Key], Name | None]) -> dict[Name, Counted]:
    """Rows added up by a name of each; those without (None) are left out."""
    groups: dict[Name, Counted] = {}
    for key, counted in rows.items():
        name = by(key)
        if name is not None:
            groups.setdefault(name, Counted()).add(counted)
    return groups


def together(profiles: Iterable[Profile]) -> Profile:
    """The profile of several times in one."""
    runs: dict[RunKey, Counted] = {}
    steps: dict[StepKey, Counted] = {}
    calls: dict[CallKey, Counted] = {}
    seconds = 0.0
    for profile in profiles:
        seconds += profile.seconds
        _gather(runs, profile.runs)
        _gather(steps, profile.steps)
        _gather(calls, profile.calls)
    return Profile(seconds, runs, steps, calls)


def without_sketches(profile: Profile) -> Profile:
    """The counts alone."""
    return Profile(
        profile.seconds,
        {key: Counted(one.counts) for key, one in profile.runs.items()},
        {key: Counted(one.counts) for key, one in profile.steps.items()},
        {key: Counted(one.counts) for key, one in profile.calls.items()},
    )


def _gather(whole: dict[Any, Counted], part: Mapping[Any, Counted]) -> None:
    for key, counted in part.items():
        whole.setdefault(key, Counted()).add(counted)


@dataclass(frozen=True, slots=True)
class TaskProfile:
    """A type of task on a tier of models; the tier is empty for steps that call no model.

    Steps are those whose last call was on the tier, calls those that were made on it.
    """

    task_type: str
    tier: str
    steps: Counted
    calls: Counted
    task_calls: int = 0

    @property
    def cache_hit_share(self) -> float | None:
        """Of the answers, those that were not bought."""
        return self.calls.share("cache_hits", "cache_hits", "settled")

    @property
    def retry_share(self) -> float | None:
        """Of the attempts of steps, those after one that failed or was lost."""
        return self.steps.share("retries", "attempts")

    @property
    def refusal_share(self) -> float | None:
        return self.calls.share("refused", "settled")

    @property
    def escalation_share(self) -> float | None:
        """Of the answers that were bought, those asked for since the tier below was not good enough."""
        return self.calls.share("escalated", "settled")

    @property
    def tier_share(self) -> float | None:
        """Of the task's calls, those on this tier."""
        return self.calls["entries"] / self.task_calls if self.task_calls else None


def task_profiles(profile: Profile) -> list[TaskProfile]:
    """Per type of task and tier, by name."""
    steps = grouped(profile.steps, lambda key: (key.task_type, key.tier))
    calls = grouped(profile.calls, lambda key: (key.task_type, key.tier) if key.kind in ANSWERS else None)
    totals = {name: counted["entries"] for name, counted in grouped(profile.calls, _answering_task).items()}
    return [
        TaskProfile(*name, steps.get(name, Counted()), calls.get(name, Counted()), totals.get(name[0], 0))
        for name in sorted({*steps, *calls})
    ]


ANSWERS = frozenset({"call", "batch", "cache_hit"})
"""Kinds of entries of the ledger that stand for an answer of a model, or for the attempt to get one."""


def _answering_task(key: CallKey) -> str | None:
    return key.task_type if key.kind in ANSWERS else None
