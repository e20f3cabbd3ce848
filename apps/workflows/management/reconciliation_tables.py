"""What a reconciliation has found, for a terminal and for machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table

from agentplatform.budgets.reconciliation import Check, Comparison, Mismatch, Verdict, is_clean
from apps.console.display import NOTHING, dollars

WIDTH = 140
"""In characters, where there is no terminal to fit."""

_STYLES = {Verdict.AGREES: "green", Verdict.DIFFERS: "bold red"}
_BILLED = (
    "date",
    "model",
    "calls",
    "ledger",
    "billed",
    "difference",
    "share",
    "unknown",
    "estimated",
    "verdict",
)
_TOKENS = ("input", "output", "written to cache", "read from cache")


def as_json(
    since: datetime, until: datetime, checks: Sequence[Check], comparisons: Sequence[Comparison]
) -> dict[str, Any]:
    """All of it, for machines."""
    return {
        "from": f"{since:%Y-%m-%d}",
        "to": f"{until - timedelta(days=1):%Y-%m-%d}",
        "agrees": is_clean(checks, comparisons),
        "checks": [asdict(check) for check in checks],
        "comparisons": [
            {
                **asdict(one),
                "difference_usd_micros": one.difference_usd_micros,
                "difference_percent": one.difference_percent,
            }
            for one in comparisons
        ],
    }


def print_tables(
    since: datetime, until: datetime, checks: Sequence[Check], comparisons: Sequence[Comparison]
) -> None:
    """All of it, at a terminal."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(f"From {since:%Y-%m-%d} to {until - timedelta(days=1):%Y-%m-%d}, days of UTC.")
    console.print(_checks(checks))
    mismatches = [mismatch for check in checks for mismatch in check.mismatches]
    if mismatches:
        console.print(_mismatches(mismatches))
    if comparisons:
        console.print(_billed(comparisons))
        tokens = _tokens([one for one in comparisons if one.ledger.tokens != one.billed.tokens])
        if tokens.row_count:
            console.print(tokens)


def _table(title: str, columns: Sequence[str], left: int) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < left else "right", overflow="fold")
    return table


def _checks(checks: Sequence[Check]) -> Table:
    table = _table("What is counted, held against the ledger", ("check", "compared", "differ"), 1)
    for check in checks:
        style = "bold red" if check.mismatched else "green"
        table.add_row(check.name, f"{check.compared:,}", f"[{style}]{check.mismatched:,}[/]")
    return table


def _mismatches(mismatches: Sequence[Mismatch]) -> Table:
    table = _table("What differs", ("what", "look at", "expected", "found", "difference"), 2)
    for one in mismatches:
        amounts = (_amount(value, one.unit) for value in (one.expected, one.found, one.difference))
        table.add_row(one.subject, "\n".join(one.ids), *amounts)
    return table


def _amount(value: int, unit: str) -> str:
    return dollars(value) if unit == "usd_micros" else f"{value:,} {unit}"


def _billed(comparisons: Sequence[Comparison]) -> Table:
    table = _table("The ledger, and what was billed", _BILLED, 2)
    for one in comparisons:
        percent = one.difference_percent
        style = _STYLES.get(one.verdict, "yellow")
        table.add_row(
            _day(one),
            one.model,
            f"{one.ledger.calls:,}",
            dollars(one.ledger.usd_micros),
            dollars(one.billed.usd_micros),
            dollars(one.difference_usd_micros),
            NOTHING if percent is None else f"{percent:+.2f} %",
            dollars(one.ledger.unknown_usd_micros),
            dollars(one.ledger.estimated_usd_micros),
            f"[{style}]{one.verdict}[/]",
        )
    return table


def _tokens(comparisons: Sequence[Comparison]) -> Table:
    table = _table("Tokens that differ: the ledger / billed", ("date", "model", *_TOKENS), 2)
    for one in comparisons:
        pairs = zip(one.ledger.tokens, one.billed.tokens, strict=True)
        table.add_row(_day(one), one.model, *(f"{own:,} / {billed:,}" for own, billed in pairs))
    return table


def _day(one: Comparison) -> str:
    return "all days" if one.day is None else one.day.isoformat()
