"""Tables of figures that are shown on pages and downloaded as CSV: the same rows in both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from django.utils.html import format_html

from apps.console.display import NOTHING, about_dollars, moment, seconds, status_label
from apps.console.tables import Table


class Form(StrEnum):
    """How the values of a column are written."""

    TEXT = "text"
    MONEY = "money"  # micro-about_dollars
    NUMBER = "number"
    DECIMAL = "decimal"  # with as many digits as say something
    SHARE = "share"  # 0 to 1
    SECONDS = "seconds"
    MOMENT = "moment"
    STATUS = "status"
    HASH = "hash"  # as much of it as tells one from another


HASH_CHARACTERS = 12
KINDS = {
    "in budget": "success",
    "alert": "info",
    "degrade": "warning",
    "throttle": "warning",
    "shutoff": "danger",
    "closed": "success",
    "half_open": "warning",
    "open": "danger",
    "on": "success",
    "switched itself off": "danger",
    "info": "info",
    "warning": "warning",
    "critical": "danger",
    "as before": "success",
    "shifted": "danger",
}


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    form: Form = Form.TEXT


@dataclass(frozen=True, slots=True)
class Panel:
    """A table. `links` has, for each row, where its first cell leads to, or ""."""

    key: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    links: Sequence[str] = ()
    note: str = ""

    @property
    def table(self) -> Table:
        """As it is shown."""
        shown = []
        for number, row in enumerate(self.rows):
            cells = [_shown(column, value) for column, value in zip(self.columns, row, strict=True)]
            address = self.links[number] if number < len(self.links) else ""
            if address:
                cells[0] = format_html('<a class="console-link" href="{}">{}</a>', address, cells[0])
            shown.append(cells)
        return Table(self.title, [column.title for column in self.columns], shown, self.note)

    @property
    def csv_headers(self) -> list[str]:
        return [
            f"{column.title} ({_UNITS[column.form]})" if column.form in _UNITS else column.title
            for column in self.columns
        ]

    def csv_rows(self) -> Iterator[list[Any]]:
        """As it is downloaded: about_dollars as numbers, times as ISO 8601."""
        for row in self.rows:
            yield [_raw(column, value) for column, value in zip(self.columns, row, strict=True)]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a panel comes from, and which permissions show it."""

    key: str
    permissions: Sequence[str]
    build: Callable[[], Panel] = field(repr=False)


_UNITS = {Form.MONEY: "USD", Form.SECONDS: "s"}


def _shown(column: Column, value: Any) -> Any:
    if value is None:
        return NOTHING
    match column.form:
        case Form.MONEY:
            return about_dollars(value)
        case Form.NUMBER:
            return f"{value:,}"
        case Form.DECIMAL:
            return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        case Form.SHARE:
            return f"{value:.1%}"
        case Form.SECONDS:
            return seconds(value)
        case Form.MOMENT:
            return moment(value)[:16]
        case Form.HASH:
            return str(value)[:HASH_CHARACTERS]
        case Form.STATUS:
            return status_label(str(value), KINDS)
    return str(value)


def _raw(column: Column, value: Any) -> Any:
    if value is None:
        return ""
    if column.form in (Form.DECIMAL, Form.SECONDS):
        return round(value, 6)
    if column.form is Form.MONEY:
        return (Decimal(value) / 1_000_000).quantize(Decimal("0.000001"))
    if isinstance(value, datetime):
        return value.isoformat()
    if column.form is Form.SHARE:
        return round(value, 6)
    return value
