"""Workloads and platforms whose figures are known beforehand."""

from __future__ import annotations

import math
from typing import Any

from agentplatform.capacity.draws import Draw
from agentplatform.capacity.model import (
    CallLoad,
    Platform,
    Queue,
    Station,
    StepLoad,
    TaskLoad,
    TierLimits,
    Workload,
)

ONE = Draw.constant(1.0)
LINE = ("standard", "shared")
RATE_KEY = "anthropic/claude-haiku"


def exponential(mean: float, points: int = 400) -> Draw:
    """Exponential values, at the middles of equal shares."""
    return Draw.of(((-mean * math.log(1 - (place + 0.5) / points), 1.0) for place in range(points)), mean)


def calls(count: float = 1.0, cost: float = 1_000.0, seconds: float = 0.5, **more: Any) -> CallLoad:
    """Calls of 1,000 tokens in and 100 out."""
    return CallLoad(
        **{
            "tier": "fast",
            "rate_key": RATE_KEY,
            "calls": count,
            "input_tokens": Draw.constant(1_000.0),
            "output_tokens": Draw.constant(100.0),
            "seconds": Draw.constant(seconds),
            "cost_usd_micros": cost,
            **more,
        }
    )


def step(
    node: str = "one", slot_seconds: Draw = ONE, *needs: str, count: Draw = ONE, **more: Any
) -> StepLoad:
    return StepLoad(node, needs, 1.0, count, slot_seconds, **more)


def task(
    rate: float, *steps: StepLoad, queue: str = "standard", type_: str = "task", **more: Any
) -> TaskLoad:
    return TaskLoad(type_, queue, {"standard": rate}, steps or (step(),), **{"runs_measured": 1_000, **more})


def load(*tasks: TaskLoad, **more: Any) -> Workload:
    return Workload(tasks, 3_600.0, 10_000, **more)


def platform(slots: int, **more: Any) -> Platform:
    """One queue with so many slots, and no limit but these."""
    return Platform(
        **{
            "stations": (Station("standard", slots, frozenset({LINE})),),
            "queues": {"standard": Queue("standard", 50, 1_000_000, target_wait_seconds=1.0)},
            "tiers": {"standard": TierLimits("standard")},
            **more,
        }
    )
