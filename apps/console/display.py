"""How values are shown to a person: money, durations, JSON, labels. Everything comes back escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

NOTHING = "–"
PREVIEW_LINES = 12
PREVIEW_CHARACTERS = 800


def dollars(usd_micros: int | None) -> str:
    """Micro-dollars as dollars, to the micro-dollar, with at least two decimals: $12.50, $0.000345, −$3.00."""
    if usd_micros is None:
        return NOTHING
    whole, micros = divmod(abs(int(usd_micros)), 1_000_000)
    decimals = f"{micros:06d}".rstrip("0").ljust(2, "0")
    return f"{'−' if usd_micros < 0 else ''}${whole:,}.{decimals}"


def about_dollars(usd_micros: int | None) -> str:
    """The same to the cent; what is less than a dollar to the micro-dollar."""
    if usd_micros is not None and abs(usd_micros) >= 1_000_000:
        usd_micros = round(usd_micros, -4)
    return dollars(usd_micros)


def seconds(value: float | None) -> str:
    """A duration as a person says it: 12 ms, 3.4 s, 5 min 20 s, 2 h 5 min."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def between(start: datetime | None, end: datetime | None) -> str:
    """How long from one time to another; nothing while one is missing."""
    return NOTHING if start is None or end is None else seconds(max(0.0, (end - start).total_seconds()))


def moment(value: datetime | None) -> str:
    """A time to the millisecond, in UTC."""
    if value is None:
        return NOTHING
    return timezone.localtime(value).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"


def label(text: str, kind: str = "") -> SafeString:
    """A coloured label; kinds are success, info, warning, danger and none."""
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": kind})


def status_label(status: str, kinds: Mapping[str, str]) -> SafeString:
    """A status as a label, coloured by its kind."""
    return label(status, kinds.get(status, ""))


def link(text: str, view: str, key: Any) -> SafeString:
    """A link to another page of the admin, by the name of its view."""
    return format_html('<a class="console-link" href="{}">{}</a>', reverse(f"admin:{view}", args=[key]), text)


def code(text: object) -> SafeString:
    return format_html('<code class="console-code">{}</code>', text)


def json_block(value: Any) -> SafeString | str:
    """JSON, indented; what is long is folded behind its beginning."""
    if value is None:
        return NOTHING
    return text_block(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def text_block(text: str) -> SafeString | str:
    """Text as it is, line breaks included; what is long is folded behind its beginning."""
    if not text:
        return NOTHING
    beginning = "\n".join(text[:PREVIEW_CHARACTERS].split("\n")[:PREVIEW_LINES])
    if len(beginning) == len(text):
        return format_html('<pre class="console-pre">{}</pre>', text)
    return format_html(
        '<details class="console-fold"><summary><pre class="console-pre">{}…</pre>'
        '<span class="console-more">all {} characters</span></summary>'
        '<pre class="console-pre">{}</pre></details>',
        beginning,
        f"{len(text):,}",
        text,
    )


def folded(summary: str, text: str) -> SafeString | str:
    """Text behind a short title, as for a traceback in a table."""
    if not text:
        return NOTHING
    return format_html(
        '<details class="console-fold"><summary><span class="console-more">{}</span></summary>'
        '<pre class="console-pre">{}</pre></details>',
        summary,
        text,
    )


def folded_json(summary: str, value: Any) -> SafeString | str:
    if value is None:
        return NOTHING
    return folded(summary, json.dumps(value, indent=2, ensure_ascii=False, default=str))
