"""A plan of capacity as tables of figures: on its page and as spreadsheets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apps.insights.panels import Column, Form, Panel


def plan_panels(result: Mapping[str, Any]) -> Iterator[Panel]:
    """Growth, queues, limits, and how good all of it is."""
    yield _growth(result)
    yield _queues(result)
    yield _limits(result["scenarios"][0])
    notes = [(note,) for note in result["notes"]]
    yield Panel("notes", "How good these numbers are", [Column("what is known, and what is not")], notes)


def _growth(result: Mapping[str, Any]) -> Panel:
    columns = [
        Column("growth", Form.DECIMAL),
        Column("users", Form.DECIMAL),
        Column("runs a day", Form.DECIMAL),
        Column("steps a second", Form.DECIMAL),
        Column("cost a month", Form.MONEY),
        Column("within budgets", Form.MONEY),
        Column("workers needed", Form.NUMBER),
        Column("transactions a second", Form.DECIMAL),
        Column("messages a second", Form.DECIMAL),
        Column("nearest limit"),
        Column("used", Form.SHARE),
        Column("by"),
    ]
    rows = [
        (
            one["growth"],
            one["users"],
            one["runs_a_day"],
            one["steps_a_second"],
            one["cost_usd_micros"],
            one["cost_within_budgets_usd_micros"],
            one["workers_needed"],
            one["database_commits_per_second"],
            one["broker_messages_per_second"],
            one["first_limit"],
            one["limits"][0]["utilisation"] if one["limits"] else None,
            one["method"],
        )
        for one in result["scenarios"]
    ]
    note = (
        f"From {result['measured_runs']:,} runs. Rates are those of the busiest hour. By the number of runs alone, costs may "
        f"be {result['cost_error']:.0%} off."
    )
    return Panel("growth", "Growth", columns, rows, (), note)


def _queues(result: Mapping[str, Any]) -> Panel:
    columns = [
        Column("growth", Form.DECIMAL),
        Column("queue"),
        Column("pool"),
        Column("busy slots", Form.DECIMAL),
        Column("slots", Form.NUMBER),
        Column("wait, p95"),
        Column("from", Form.SECONDS),
        Column("to", Form.SECONDS),
        Column("aim", Form.SECONDS),
        Column("slots needed", Form.NUMBER),
        Column("workers needed", Form.NUMBER),
        Column("wait then", Form.SECONDS),
    ]
    rows = [
        (
            one["growth"],
            line["queue"],
            line["pool"],
            line["busy_slots"],
            line["slots"],
            "grows without end" if line["wait_seconds"] is None else f"{line['wait_seconds']:,.3g} s",
            line["low_seconds"],
            line["high_seconds"],
            line["target_seconds"],
            line["needed_slots"],
            line["needed_workers"],
            line["wait_with_needed_seconds"],
        )
        for one in result["scenarios"]
        for line in one["queues"]
    ]
    note = (
        "In the busiest hour. 95% of steps wait no longer, and 95% of such simulations say so from … to. Where no number of "
        "slots is named none helps: steps wait for another limit."
    )
    return Panel("queues", "Queues", columns, rows, (), note)


def _limits(one: Mapping[str, Any]) -> Panel:
    columns = [
        Column("limit"),
        Column("of"),
        Column("used", Form.DECIMAL),
        Column("most", Form.DECIMAL),
        Column("unit"),
        Column("share", Form.SHARE),
        Column("used up at growth", Form.DECIMAL),
    ]
    rows = [
        (
            limit["kind"],
            limit["name"],
            limit["used"],
            limit["most"],
            limit["unit"],
            limit["utilisation"],
            limit["binds_at_growth"],
        )
        for limit in one["limits"]
    ]
    note = f"Used at {one['growth']:,.4g} times what was measured; the nearest first. More tenants do not use up the limits of one."
    return Panel("limits", "Limits", columns, rows, (), note)
