"""What is told of as a shift, and what is not."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from agentplatform.profiles.drift import FALSE_ALERTS, Shift, shifts
from agentplatform.profiles.drift_cost import cost_a_day_usd_micros
from agentplatform.profiles.observing import Measure, observe
from agentplatform.profiles.profile import Counted, Profile, RunKey, StepKey, together
from agentplatform.profiles.sketch import Sketch
from tests.synthetic_traffic import KINDS, START, Unrest, draw, hours, shifted

DAYS = 4
REFERENCE = dict(hours(11, 24 * DAYS))
OBSERVED = {at: observe(profile) for at, profile in REFERENCE.items()}
NOON = START + timedelta(days=DAYS, hours=13)


def noon(**factors: float) -> Profile:
    """An hour at noon of the day after the reference, with fields of answer_question multiplied."""
    return draw(np.random.default_rng(7), NOON, shifted(KINDS, **factors), Unrest())


def drifted(profile: Profile) -> dict[tuple[str, str], Shift]:
    return {one.place: one for one in shifts(OBSERVED, NOON, observe(profile)) if one.is_drift}


def test_hours_without_a_shift_raise_no_more_alerts_than_promised() -> None:
    """Bursts, nights, weekends and busy providers included: here in 250 windows; `make bench-drift` has thousands."""
    rows = [(at, observe(profile)) for at, profile in hours(21, 24 * 3 + 250)]
    alerts = 0
    for number in range(24 * 3, len(rows)):
        reference = dict(rows[number - 24 * 3 : number])
        alerts += any(one.is_drift for one in shifts(reference, *rows[number]))
    assert alerts <= 3


@pytest.mark.parametrize(
    ("field", "factor", "measure"),
    [
        ("runs_an_hour", 4.0, Measure.TASK_MIX),
        ("input_tokens", 1.5, Measure.INPUT_TOKENS),
        ("output_tokens", 0.6, Measure.OUTPUT_TOKENS),
        ("seconds", 1.8, Measure.EXECUTION_SECONDS),
        ("cache_share", 0.3, Measure.CACHE_SHARE),
        ("refusal_share", 20, Measure.REFUSAL_SHARE),
        ("escalation_share", 6, Measure.ESCALATION_SHARE),
        ("retry_share", 8, Measure.RETRY_SHARE),
    ],
)
def test_a_shift_is_found_where_it_is(field: str, factor: float, measure: Measure) -> None:
    """And of the task's own measures no other is named that has not shifted with it."""
    found = drifted(noon(**{field: factor}))
    place = ("" if measure is Measure.TASK_MIX else "answer_question", measure)
    assert place in found
    allowed = {measure, Measure.TIER_MIX, Measure.TASK_MIX}
    assert {one.measure for one in found.values()} <= allowed
    assert found[place].p_value < FALSE_ALERTS
    assert (found[place].window > found[place].reference) == (factor > 1)


def test_what_is_certain_and_small_is_no_shift() -> None:
    """A hundred times the runs make any difference certain; a hundredth more tokens matter to nobody."""
    many = tuple(
        type(kind)(**{**{name: getattr(kind, name) for name in kind.__slots__}, "runs_an_hour": 5_000})
        for kind in KINDS[:1]
    )
    calm = Unrest(0, 0, 0, 0)
    reference = {at: observe(profile) for at, profile in hours(1, 12, many, calm)}
    at = START + timedelta(hours=12)
    window = draw(np.random.default_rng(2), at, shifted(many, input_tokens=1.08), calm)
    (tokens,) = [one for one in shifts(reference, at, observe(window)) if one.measure is Measure.INPUT_TOKENS]
    assert tokens.p_value < 1e-6
    assert not tokens.is_drift


def test_a_few_runs_say_nothing() -> None:
    """In the window or in the reference."""
    few = shifted(KINDS, runs_an_hour=0.02, input_tokens=9)
    window = draw(np.random.default_rng(3), NOON, few, Unrest())
    assert all(one.task_type != "answer_question" for one in shifts(OBSERVED, NOON, observe(window)))
    assert shifts({}, NOON, observe(noon())) == []


def test_a_fan_out_counts_as_the_one_run_that_it_is() -> None:
    """Its thousand steps took long together; that is one run's word."""
    step, run = StepKey("each", "standard", "one", "agent", ""), RunKey("each", "standard", "free")

    def hour(slow_steps: int) -> Profile:
        sketch = Sketch.of([1.0] * 60 + [1.1] * 60)
        sketch.add(30.0, slow_steps) if slow_steps else None
        steps = Counted({"steps": sketch.count, "attempts": sketch.count}, {"slot_seconds": sketch})
        return Profile(3600, {run: Counted({"arrived": 60, "finished": 60})}, {step: steps}, {})

    reference = {START + timedelta(hours=number): observe(hour(0)) for number in range(6)}
    (seconds,) = [
        one
        for one in shifts(reference, NOON, observe(hour(1_000)))
        if one.measure is Measure.EXECUTION_SECONDS
    ]
    assert seconds.units == 60


def test_a_shift_says_what_a_day_of_it_costs() -> None:
    """More tokens what calls cost more, a lost cache what is bought again, another mix what its types cost."""
    before = together(REFERENCE.values())

    def cost(profile: Profile, task_type: str, measure: Measure) -> int:
        shift = next(
            one for one in shifts(OBSERVED, NOON, observe(profile)) if one.place == (task_type, measure)
        )
        found = cost_a_day_usd_micros(shift, profile, before)
        assert found is not None
        return found

    longer = noon(input_tokens=2, output_tokens=2)
    now = sum(
        one["cost_usd_micros"] for key, one in longer.calls.items() if key.task_type == "answer_question"
    )
    assert cost(longer, "answer_question", Measure.INPUT_TOKENS) == pytest.approx(24 * now / 2, rel=0.25)
    assert cost(noon(cache_share=0.3), "answer_question", Measure.CACHE_SHARE) > 0
    assert cost(noon(cache_share=1.8), "answer_question", Measure.CACHE_SHARE) < 0
    assert cost(noon(refusal_share=20), "answer_question", Measure.REFUSAL_SHARE) > 0
    slow = noon(seconds=3)
    shift = drifted(slow)["answer_question", Measure.EXECUTION_SECONDS]
    assert cost_a_day_usd_micros(shift, slow, before) is None
