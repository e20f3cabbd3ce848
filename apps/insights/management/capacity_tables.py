"""A plan of capacity as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from apps.console.display import about_dollars, seconds

WIDTH = 150
"""In characters, where there is no terminal to fit."""


def print_tables(told: Mapping[str, Any], *, wide: bool) -> None:
    """Prints what was planned, and how good it is."""
    console = Console(width=WIDTH if wide else None)
    scenarios = told["scenarios"]
    console.print(_overview(scenarios))
    console.print(_queues(scenarios))
    console.print(_limits(scenarios[0]))
    console.print("How good these numbers are:")
    for note in told["notes"]:
        console.print(f"• {escape(note)}", highlight=False)


def _table(title: str, *columns: str, left: int = 1) -> Table:
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < left else "right")
    return table


def _overview(scenarios: list[Any]) -> Table:
    table = _table(
        "Growth",
        "growth",
        "users",
        "runs a day",
        "steps/s",
        "cost a month",
        "within budgets",
        "workers",
        "database/s",
        "broker/s",
        "nearest limit",
        "used",
        "by",
    )
    for one in scenarios:
        nearest = one["limits"][0] if one["limits"] else None
        table.add_row(
            f"{one['growth']:,.4g}×",
            f"{one['users']:,.0f}",
            f"{one['runs_a_day']:,.0f}",
            f"{one['steps_a_second']:,.1f}",
            about_dollars(one["cost_usd_micros"]),
            about_dollars(one["cost_within_budgets_usd_micros"]),
            "more do not help" if one["workers_needed"] is None else f"{one['workers_needed']:,}",
            f"{one['database_commits_per_second']:,.1f}",
            f"{one['broker_messages_per_second']:,.1f}",
            escape(f"{nearest['kind']}: {nearest['name']}") if nearest else "",
            f"{nearest['utilisation']:.0%}" if nearest else "",
            one["method"],
        )
    return table


def _queues(scenarios: list[Any]) -> Table:
    table = _table(
        "Queues in the busiest hour: 95% of steps wait no longer than so",
        "growth",
        "queue",
        "pool",
        "busy slots",
        "slots",
        "wait",
        "95% interval",
        "aim",
        "slots needed",
        "workers needed",
        "wait then",
        left=3,
    )
    for one in scenarios:
        for line in one["queues"]:
            low, high = line["low_seconds"], line["high_seconds"]
            table.add_row(
                f"{one['growth']:,.4g}×",
                line["queue"],
                line["pool"],
                f"{line['busy_slots']:,.2f}",
                f"{line['slots']:,}",
                "grows" if line["wait_seconds"] is None else seconds(line["wait_seconds"]),
                "" if low is None else f"{seconds(low)} to {seconds(high)}",
                seconds(line["target_seconds"]),
                "none helps" if line["needed_slots"] is None else f"{line['needed_slots']:,}",
                "" if line["needed_workers"] is None else f"{line['needed_workers']:,}",
                "" if line["wait_with_needed_seconds"] is None else seconds(line["wait_with_needed_seconds"]),
            )
        table.add_section()
    return table


def _limits(one: Mapping[str, Any]) -> Table:
    table = _table(
        f"Limits, the first to bind first (used at {one['growth']:,.4g}×)",
        "limit",
        "of",
        "used",
        "most",
        "unit",
        "used up at growth",
        left=2,
    )
    for limit in one["limits"]:
        at = limit["binds_at_growth"]
        table.add_row(
            limit["kind"],
            escape(limit["name"]),
            f"{limit['used']:,.4g}",
            f"{limit['most']:,.0f}",
            limit["unit"],
            "not by more tenants" if at is None else f"{at:,.3g}×",
        )
    return table
