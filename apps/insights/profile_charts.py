"""The charts of profiles and of drift, by the hour or by the window."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from agentplatform.profiles.profile import Profile, grouped
from agentplatform.profiles.sketch import Sketch, merged
from apps.insights.charts import Chart

_COLOURS = ("var(--color-primary-600)", "var(--color-primary-300)", "var(--color-base-400)")


def profile_charts(hours: Mapping[datetime, Profile]) -> list[Chart]:
    """Arrivals, execution times, tokens and cost of each hour, of the type of task that the profiles are of."""
    labels = [f"{hour:%d. %H}h" for hour in hours]
    arrived = [sum(one["arrived"] for one in profile.runs.values()) for profile in hours.values()]
    steps = [grouped(profile.steps, lambda _: "").get("") for profile in hours.values()]
    slots = [one.sketch("slot_seconds") if one else Sketch() for one in steps]
    waits = [one.sketch("wait_seconds") if one else Sketch() for one in steps]
    calls = [grouped(profile.calls, lambda _: "").get("") for profile in hours.values()]
    inputs = [one.sketch("input_tokens") if one else Sketch() for one in calls]
    outputs = [one.sketch("output_tokens") if one else Sketch() for one in calls]
    costs = [
        merged(one.sketch("cost_usd_micros") for one in profile.runs.values()) for profile in hours.values()
    ]
    return [
        line_chart("Arrivals an hour", labels, {"runs": arrived}),
        line_chart("Seconds in its slot, of a step", labels, _quantiles(slots), "s"),
        line_chart("Seconds ready, of a step", labels, _quantiles(waits), "s"),
        line_chart("Input tokens of a call", labels, _quantiles(inputs)),
        line_chart("Output tokens of a call", labels, _quantiles(outputs)),
        line_chart("Cost of a run", labels, _quantiles(costs, 1_000_000), "$"),
    ]


def _quantiles(sketches: Sequence[Sketch], unit: int = 1) -> dict[str, list[float | None]]:
    """The median and the 95th percentile of each hour, divided by `unit`."""
    found: dict[str, list[float | None]] = {}
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        values = [sketch.quantile(share) for sketch in sketches]
        found[name] = [None if value is None else round(value / unit, 6) for value in values]
    return found


def line_chart(
    title: str, labels: Sequence[str], lines: Mapping[str, Sequence[float | None]], suffix: str = ""
) -> Chart:
    """Some lines by name, in the order of their colours."""
    datasets = [
        {
            "label": name,
            "data": list(values),
            "borderColor": colour,
            "displayYAxis": True,
            "suffixYAxis": suffix,
            "tension": 0.2,
        }
        for (name, values), colour in zip(lines.items(), _COLOURS, strict=False)
    ]
    data = json.dumps({"labels": list(labels), "datasets": datasets})
    return Chart(title, "line", data, list(zip(lines, _COLOURS, strict=False)))
