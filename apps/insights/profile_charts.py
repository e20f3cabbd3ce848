"""The charts of profiles and of drift, by the hour or by the window."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from agentplatform.profiles.profile import Counted, Profile
from agentplatform.profiles.sketch import merged
from apps.insights.charts import Chart

_COLOURS = (
    "var(--color-primary-600)",
    "var(--color-primary-300)",
    "var(--color-base-400)",
    "var(--color-base-700)",
)
_QUANTILES = {"p50": 0.5, "p95": 0.95}


class ProfileCharts:
    """Arrivals, execution times, tokens and cost by the hour, of whatever the profiles are of."""

    def __init__(self) -> None:
        self._labels: list[str] = []
        self._arrived: list[float | None] = []
        self._lines: dict[str, dict[str, list[float | None]]] = {}

    def add(self, hour: datetime, profile: Profile) -> None:
        """One hour, of which a few figures are kept."""
        self._labels.append(f"{hour:%d. %H}h")
        self._arrived.append(sum(one["arrived"] for one in profile.runs.values()))
        runs, steps, calls = profile.runs.values(), profile.steps.values(), profile.calls.values()
        self._point("Seconds in its slot, of a step", steps, "slot_seconds")
        self._point("Seconds ready, of a step", steps, "wait_seconds")
        self._point("Input tokens of a call", calls, "input_tokens")
        self._point("Output tokens of a call", calls, "output_tokens")
        self._point("Cost of a run, in micro-dollars", runs, "cost_usd_micros")

    def _point(self, title: str, rows: Iterable[Counted], name: str) -> None:
        sketch = merged(one.sketch(name) for one in rows)
        lines = self._lines.setdefault(title, {name: [] for name in _QUANTILES})
        for line, share in _QUANTILES.items():
            value = sketch.quantile(share)
            lines[line].append(None if value is None else round(value, 6))

    @property
    def hours(self) -> int:
        return len(self._labels)

    @property
    def charts(self) -> list[Chart]:
        if not self._labels:
            return []
        arrivals = line_chart("Arrivals an hour", self._labels, {"runs": self._arrived})
        return [arrivals, *(line_chart(title, self._labels, lines) for title, lines in self._lines.items())]


def line_chart(title: str, labels: Sequence[str], lines: Mapping[str, Sequence[float | None]]) -> Chart:
    """Some lines by name, in the order of their colours."""
    datasets = [
        {
            "label": name,
            "data": list(values),
            "borderColor": colour,
            "displayYAxis": True,
            "tension": 0.2,
        }
        for (name, values), colour in zip(lines.items(), _COLOURS, strict=False)
    ]
    data = json.dumps({"labels": list(labels), "datasets": datasets})
    return Chart(title, "line", data, list(zip(lines, _COLOURS, strict=False)))
