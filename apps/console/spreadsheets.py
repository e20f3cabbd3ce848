"""Tables as CSV, sent while they are written."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.html import strip_tags

ROWS_AT_A_TIME = 500
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The table in pieces of some hundred lines (RFC 4180)."""
    remaining = iter(rows)
    piece: list[Sequence[Any]] = [headers]
    while piece:
        text = io.StringIO()
        csv.writer(text).writerows([_cell(value) for value in row] for row in piece)
        yield text.getvalue()
        piece = list(islice(remaining, ROWS_AT_A_TIME))


def csv_response(
    request: HttpRequest, name: str, headers: Sequence[str], rows: Iterable[Sequence[Any]]
) -> StreamingHttpResponse:
    """The table as a file to download; `rows` may be read while it is sent."""
    lines = csv_lines(headers, rows)
    content = _in_threads(lines) if isinstance(request, ASGIRequest) else lines
    return StreamingHttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "no-store"},
    )


async def _in_threads(lines: Iterator[str]) -> AsyncIterator[str]:
    while (line := await sync_to_async(lambda: next(lines, None))()) is not None:
        yield line


def _cell(value: Any) -> Any:
    """A value as it is; text that a spreadsheet would calculate gets an apostrophe before it."""
    if value is None:
        return ""
    if hasattr(value, "__html__"):
        value = strip_tags(value)
    if isinstance(value, str) and value.startswith(_FORMULAS):
        return "'" + value
    return value
