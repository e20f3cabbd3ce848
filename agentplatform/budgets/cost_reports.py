"""A provider's cost report in a file of comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation

from agentplatform.budgets.reconciliation import Amounts, DayOfModel

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "date": ("date", "day", "usage_date"),
    "model": ("model",),
    "input_tokens": ("input_tokens", "uncached_input_tokens"),
    "output_tokens": ("output_tokens",),
    "cost_usd": ("cost_usd", "cost", "amount_usd"),
    "cache_write_tokens": ("cache_write_tokens", "cache_creation_input_tokens"),
    "cache_write_5m_tokens": ("cache_write_5m_tokens", "ephemeral_5m_input_tokens"),
    "cache_write_1h_tokens": ("cache_write_1h_tokens", "ephemeral_1h_input_tokens"),
    "cache_read_tokens": ("cache_read_tokens", "cache_read_input_tokens"),
}
"""The columns that are read, each by the names that it may have."""

REQUIRED = ("date", "model", "input_tokens", "output_tokens", "cost_usd")
_DELIMITERS = (",", ";", "\t")
_WRITTEN = ("cache_write_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")


class ReportError(Exception):
    """A cost report that cannot be read or had; its text says what is wrong, and where."""


def read_report(lines: Iterable[str]) -> list[DayOfModel]:
    """The lines of a report, whose first names the columns, in any order; others than COLUMNS are passed over.

    Costs are dollars. A day and model may have any number of lines. Raises ReportError.
    """
    rows = [line for line in lines if line.strip()]
    if not rows:
        raise ReportError("The report is empty: its first line names the columns.")
    delimiter = max(_DELIMITERS, key=rows[0].count)
    header, *body = csv.reader(rows, delimiter=delimiter)
    places = _places(header)
    return [_line(number, row, places) for number, row in enumerate(body, start=2)]


def _places(header: list[str]) -> dict[str, int]:
    named = [name.strip().lower().replace(" ", "_") for name in header]
    found: dict[str, int] = {}
    for column, names in COLUMNS.items():
        places = [place for place, name in enumerate(named) if name in names]
        if len(places) > 1:
            raise ReportError(f"The report has more than one column for {column}.")
        if places:
            found[column] = places[0]
    missing = [column for column in REQUIRED if column not in found]
    if missing:
        raise ReportError(
            f"The report lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
            f"it has {', '.join(named)}."
        )
    return found


def _line(number: int, row: list[str], places: Mapping[str, int]) -> DayOfModel:
    if len(row) <= max(places.values()):
        raise ReportError(f"Line {number} has {len(row)} fields, which are too few.")
    told = {column: row[place].strip() for column, place in places.items()}
    if not told["model"]:
        raise ReportError(f"Line {number}: the model is missing.")
    tokens = {name: _count(number, name, told[name]) for name in told if name.endswith("_tokens")}
    return DayOfModel(
        _day(number, told["date"]),
        told["model"],
        Amounts(
            usd_micros=_usd_micros(number, told["cost_usd"]),
            input_tokens=tokens["input_tokens"],
            output_tokens=tokens["output_tokens"],
            cache_write_tokens=sum(tokens.get(name, 0) for name in _WRITTEN),
            cache_read_tokens=tokens.get("cache_read_tokens", 0),
        ),
    )


def _day(number: int, text: str) -> date:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise ReportError(f"Line {number}: '{text}' is no date; write it as 2026-11-29.") from None


def _count(number: int, name: str, text: str) -> int:
    digits = text.replace(",", "") or "0"
    if not (digits.isascii() and digits.isdigit()):
        raise ReportError(f"Line {number}: {name} is '{text}', which is no number of tokens.")
    return int(digits)


def _usd_micros(number: int, text: str) -> int:
    try:
        dollars = Decimal(text.lstrip("$").replace(",", ""))
    except InvalidOperation:
        dollars = Decimal("NaN")
    if not dollars.is_finite():
        raise ReportError(f"Line {number}: the cost is '{text}', which is no amount of dollars.")
    return round(dollars * 1_000_000)
