"""Profiles in figures."""

from __future__ import annotations

import random

import pytest

from agentplatform.profiles.profile import CallKey, Counted, Profile, RunKey, StepKey, task_profiles, together
from agentplatform.profiles.report import burstiness, profile_report
from agentplatform.profiles.sketch import Sketch


def profile(runs: int = 10, tier: str = "fast", queue: str = "standard") -> Profile:
    """An hour of a type with one step a run, each with a call on a tier."""
    step = {"steps": runs, "attempts": runs + 2, "retries": 2, "calls": runs}
    call = {"entries": runs + 5, "settled": runs, "cache_hits": 5, "refused": 1, "escalated": 2}
    return Profile(
        3600.0,
        {RunKey("ask", queue, "free"): Counted({"arrived": runs, "finished": runs})},
        {
            StepKey("ask", queue, "one", "asking", tier): Counted(
                step, {"slot_seconds": Sketch.of(range(1, runs + 1))}
            )
        },
        {
            CallKey("ask", "one", "asking", tier, "anthropic", "m", "call"): Counted(call),
            CallKey("ask", "", "", "", "embedder", "e", "embedding"): Counted({"entries": 99}),
        },
    )


def test_profiles_add_up() -> None:
    """Equal keys become one row, others stand beside it."""
    whole = together([profile(10), profile(30), profile(5, "balanced", "batch")])
    assert whole.seconds == 3 * 3600
    assert whole.runs[RunKey("ask", "standard", "free")]["arrived"] == 40
    assert whole.steps[StepKey("ask", "standard", "one", "asking", "fast")].sketch("slot_seconds").count == 40
    assert len(whole.runs) == 2


def test_shares_are_of_what_they_say() -> None:
    """Tiers of the task's calls, hits of the answers, retries of the attempts; embeddings are no calls to models."""
    fast = next(
        task for task in task_profiles(together([profile(10), profile(5, "powerful")])) if task.tier == "fast"
    )
    assert fast.tier_share == pytest.approx(15 / 25)
    assert fast.cache_hit_share == pytest.approx(5 / 15)
    assert fast.retry_share == pytest.approx(2 / 12)
    assert (fast.refusal_share, fast.escalation_share) == (0.1, 0.2)


def test_figures_are_by_type_tier_and_node() -> None:
    """Of one tier, if it is named; arrivals are by the hour that was measured."""
    report = profile_report(together([profile(10), profile(30, queue="batch")]), "fast")
    (of_type,) = report.types
    assert (of_type.arrived, of_type.arrived_an_hour, of_type.queues) == (
        40,
        20.0,
        {"batch": 0.75, "standard": 0.25},
    )
    (task,) = report.tasks
    assert task.slot_seconds.p95 == pytest.approx(28, rel=0.05)
    assert [node.queue for node in report.nodes] == ["batch", "standard"]
    assert profile_report(profile(), "balanced").tasks == []


def test_burstiness_tells_bursts_from_chance() -> None:
    """1 of independent arrivals, 0 of a clock's, far more of bursts."""
    chance = random.Random(1)
    assert burstiness(Sketch.of(chance.expovariate(1) for _ in range(20_000))) == pytest.approx(1, abs=0.05)
    assert burstiness(Sketch.of([5.0] * 100)) == pytest.approx(0, abs=0.001)
    assert (burstiness(Sketch.of([0.01] * 99 + [100.0])) or 0) > 50
    assert burstiness(Sketch.of([1.0])) is None
