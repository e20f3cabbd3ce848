"""`make bench-drift`: how often an hour without a shift is told of, and how often one with a shift is.

Traffic is drawn from seeds (tests/synthetic_traffic.py): four types of tasks over weeks, with nights and weekends. It is
calm, where hours differ by chance alone; restless, where arrivals, tokens, seconds and shares of an hour have factors of
their own; or wild, where these are twice as large. Each hour is compared with the seven days before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from agentplatform.profiles.drift import shifts
from agentplatform.profiles.observing import Observation, observe
from tests.synthetic_traffic import CALM, KINDS, START, Kind, Unrest, draw, hours, shifted

RESULTS = Path("benchmarks/drift.json")
REFERENCE_HOURS = 7 * 24
WINDOWS = 1_000
WINDOWS_A_SHIFT = 48
TRAFFIC = {"calm": CALM, "restless": Unrest(), "wild": Unrest(0.3, 0.08, 0.16, 0.2)}
SEEDS = {"calm": 101, "restless": 102, "wild": 103}
"""Others than those that the settings were chosen on."""

SHIFTS: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    ("runs of a type", "runs_an_hour", (1.5, 2, 3, 5)),
    ("input tokens", "input_tokens", (1.25, 1.5, 2)),
    ("seconds", "seconds", (1.25, 1.5, 2)),
    ("cache share", "cache_share", (0.7, 0.5, 0.2)),
    ("refusals", "refusal_share", (5, 10, 20)),
    ("escalations", "escalation_share", (2, 3, 5)),
)
LOADS = {"as drawn (some 300 runs an hour)": 1.0, "tenfold": 10.0}


def false_alerts(unrest: Unrest, seed: int) -> float:
    """The share of hours without a shift that are told of."""
    rows = [(at, observe(one)) for at, one in hours(seed, REFERENCE_HOURS + WINDOWS, unrest=unrest)]
    alerts = 0
    for number in range(REFERENCE_HOURS, len(rows)):
        reference = dict(rows[number - REFERENCE_HOURS : number])
        alerts += any(one.is_drift for one in shifts(reference, *rows[number]))
    return alerts / WINDOWS


def found(kinds: tuple[Kind, ...], reference: Mapping[Any, Observation], field: str, factor: float) -> float:
    """The share of hours with the shift, each the first one, that are told of."""
    alerts = 0
    for number in range(WINDOWS_A_SHIFT):
        at = START + timedelta(hours=REFERENCE_HOURS + number)
        window = draw(np.random.default_rng([104, number]), at, shifted(kinds, **{field: factor}), Unrest())
        alerts += any(one.is_drift for one in shifts(reference, at, observe(window)))
    return alerts / WINDOWS_A_SHIFT


def main() -> None:
    """Measures, prints tables, writes RESULTS."""
    quiet = {name: false_alerts(unrest, SEEDS[name]) for name, unrest in TRAFFIC.items()}
    table = Table("traffic", "windows", "false alerts", title="Windows without a shift (goal: at most 1%)")
    for name, share in quiet.items():
        table.add_row(name, f"{WINDOWS:,}", f"{share:.1%}")
    Console().print(table)
    detected = []
    for load, times in LOADS.items():
        kinds = tuple(kind for each in KINDS for kind in shifted((each,), each.name, runs_an_hour=times))
        reference = {at: observe(one) for at, one in hours(105, REFERENCE_HOURS, kinds)}
        table = Table("what shifts", "to", "told within one window", title=f"Restless traffic, {load}")
        for title, field, factors in SHIFTS:
            for factor in factors:
                share = found(kinds, reference, field, factor)
                detected.append({"load": load, "field": field, "factor": factor, "share": share})
                table.add_row(title, f"{factor:g} ×", f"{share:.0%}")
        Console().print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"windows": WINDOWS, "false_alerts": quiet, "detected": detected}, indent=2)
    )


if __name__ == "__main__":
    main()
