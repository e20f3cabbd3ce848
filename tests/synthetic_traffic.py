"""Traffic by the hour, drawn from a seed: profiles as a platform has them that nothing shifts on, and what shifts it.

No two hours are alike by more than chance: tenants come in bursts, nights and weekends have another mix, and providers
are quicker in some hours than in others. A shift changes one thing of the population from then on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from agentplatform.profiles.profile import CallKey, Counted, Profile, RunKey, StepKey
from agentplatform.profiles.sketch import GAMMA, Sketch

START = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday."""

TIERS = ("fast", "balanced", "powerful")


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of task. Tokens and seconds are medians of lognormal values with these spreads."""

    name: str
    runs_an_hour: float
    input_tokens: float
    output_tokens: float
    seconds: float
    tiers: tuple[float, float, float]
    cache_share: float
    refusal_share: float = 0.004
    escalation_share: float = 0.03
    retry_share: float = 0.02
    night: float = 0.4
    spread: float = 0.6


KINDS = (
    Kind("answer_question", 400, 1_800, 220, 2.5, (0.7, 0.25, 0.05), 0.35),
    Kind("summarize_document", 120, 9_000, 700, 12, (0.2, 0.7, 0.1), 0.05),
    Kind("extract_data", 200, 3_000, 400, 5, (0.9, 0.1, 0.0), 0.1, night=0.9),
    Kind("research_report", 60, 15_000, 2_500, 60, (0.1, 0.5, 0.4), 0.02, night=1.2, spread=0.8),
)


@dataclass(frozen=True, slots=True)
class Unrest:
    """How much hours differ beyond chance: standard deviations of the logarithms of an hour's own factors."""

    arrivals: float = 0.15
    tokens: float = 0.04
    seconds: float = 0.08
    shares: float = 0.1


CALM = Unrest(0.0, 0.0, 0.0, 0.0)


def hours(
    seed: int,
    count: int,
    kinds: tuple[Kind, ...] = KINDS,
    unrest: Unrest | None = None,
    start: datetime = START,
) -> Iterator[tuple[datetime, Profile]]:
    """So many hours of traffic from `start` on."""
    chance = np.random.default_rng(seed)
    for number in range(count):
        at = start + timedelta(hours=number)
        yield at, draw(chance, at, kinds, unrest or Unrest())


def draw(chance: np.random.Generator, at: datetime, kinds: tuple[Kind, ...], unrest: Unrest) -> Profile:
    """One hour."""
    profile = Profile(3600.0, {}, {}, {})
    for kind in kinds:
        _draw_kind(chance, at, kind, unrest, profile)
    return profile


def shifted(kinds: tuple[Kind, ...], name: str = "answer_question", **factors: float) -> tuple[Kind, ...]:
    """The same, with fields of one type multiplied."""
    return tuple(
        replace(kind, **{field: getattr(kind, field) * factor for field, factor in factors.items()})
        if kind.name == name
        else kind
        for kind in kinds
    )


def _draw_kind(chance: np.random.Generator, at: datetime, kind: Kind, unrest: Unrest, into: Profile) -> None:
    def factor(spread: float) -> float:
        return float(np.exp(chance.normal(-spread * spread / 2, spread)))

    day = 0.5 - 0.5 * math.cos(2 * math.pi * (at.hour - 3) / 24)
    season = (kind.night + (1 - kind.night) * day) * (0.5 if at.weekday() >= 5 else 1.0)
    runs = int(chance.poisson(kind.runs_an_hour * season * factor(unrest.arrivals)))
    if not runs:
        return
    into.runs[RunKey(kind.name, "standard", "standard")] = Counted({"arrived": runs, "finished": runs})  # type: ignore[index]
    retries = int(chance.binomial(runs, min(1.0, kind.retry_share * factor(unrest.shares))))
    seconds = _lognormal(chance, kind.seconds * factor(unrest.seconds), kind.spread, runs)
    hits = int(chance.binomial(runs, min(1.0, kind.cache_share * factor(unrest.shares))))
    bought = runs - hits
    tiers = chance.multinomial(bought, kind.tiers)
    tokens = factor(unrest.tokens)
    refused, escalated = (
        int(chance.binomial(bought, min(1.0, share * factor(unrest.shares))))
        for share in (kind.refusal_share, kind.escalation_share)
    )
    into.steps[StepKey(kind.name, "standard", "one", "agent", "fast")] = Counted(  # type: ignore[index]
        {"steps": runs, "runs": runs, "attempts": runs + retries, "retries": retries, "calls": bought},
        {"slot_seconds": sketch_of(seconds)},
    )
    for place, (tier, count) in enumerate(zip(TIERS, tiers, strict=True)):
        inputs = _lognormal(chance, kind.input_tokens * tokens, kind.spread, int(count))
        outputs = _lognormal(chance, kind.output_tokens * tokens, kind.spread, int(count))
        price = 5**place
        counts = {"entries": int(count), "settled": int(count)}
        counts["cost_usd_micros"] = int(price * (inputs.sum() + 5 * outputs.sum()))
        if place == 0:
            counts |= {"refused": refused, "escalated": escalated, "cache_hits": hits}
            counts["entries"] += hits
        key = CallKey(kind.name, "one", "agent", tier, "anthropic", "model", "call")
        into.calls[key] = Counted(  # type: ignore[index]
            counts, {"input_tokens": sketch_of(inputs), "output_tokens": sketch_of(outputs)}
        )


def _lognormal(chance: np.random.Generator, median: float, spread: float, count: int) -> np.ndarray:
    return np.exp(chance.normal(math.log(median), spread, count))


def sketch_of(values: np.ndarray) -> Sketch:
    """As Sketch.of, at once."""
    if not len(values):
        return Sketch()
    bins, counts = np.unique(np.ceil(np.log(values) / math.log(GAMMA)).astype(int), return_counts=True)
    pairs = dict(zip(bins.tolist(), counts.tolist(), strict=True))
    return Sketch(pairs, 0, float(values.sum()), float(values.min()), float(values.max()))
