"""What a benchmark found, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path("benchmarks/results.json")


@dataclass(frozen=True, slots=True)
class Result:
    """One figure. `peer` is what it is held against, `ratio` this over the peer, `goal` what it aims at."""

    name: str
    value: float
    unit: str
    peer: str = ""
    ratio: float | None = None
    goal: str = ""


def show(results: Sequence[Result]) -> None:
    """Prints the table and writes RESULTS."""
    table = Table(title="Measured in one run, on one machine")
    for column in ("name", "value", "unit", "peer", "ratio", "goal"):
        table.add_column(column, justify="right" if column in ("value", "ratio") else "left")
    for result in results:
        ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
        table.add_row(result.name, f"{result.value:,.1f}", result.unit, result.peer, ratio, result.goal)
    Console(width=150).print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
