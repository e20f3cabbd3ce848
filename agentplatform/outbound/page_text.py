"""The text of an HTML page, without its markup, scripts and styles.

Read by hand in one pass: the standard library's parser takes minutes for a megabyte of markup that is made to hurt.
"""

from __future__ import annotations

import html
import re

_SILENT = ("script", "style", "template", "noscript", "svg", "head")
_INLINE = frozenset(
    [
        "a",
        "abbr",
        "b",
        "bdi",
        "cite",
        "code",
        "em",
        "font",
        "i",
        "kbd",
        "label",
        "mark",
        "q",
        "s",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "time",
        "tt",
        "u",
        "var",
        "wbr",
    ]
)
_TAG = re.compile(r"/?([a-zA-Z][a-zA-Z0-9-]{0,30})")
_SPACES = re.compile(r"[^\S\n]+")


def page_text(page: str) -> str:
    """What a reader sees of a page, a line for each block. One that is cut off, or malformed, is read as far as it goes."""
    lines = (_SPACES.sub(" ", line).strip() for line in _unescaped("".join(_parts(page))).split("\n"))
    return "\n".join(line for line in lines if line)


def _parts(page: str) -> list[str]:
    """The text between tags, and a line break for each tag of a block."""
    lower = page.lower()
    parts: list[str] = []
    at = 0
    while True:
        start = page.find("<", at)
        if start < 0:
            parts.append(page[at:])
            return parts
        parts.append(page[at:start])
        at, is_break = _after_tag(page, lower, start)
        if at < 0:
            return parts
        if at == start:  # no tag: a sign of comparison
            parts.append("<")
            at += 1
        elif is_break:
            parts.append("\n")


def _after_tag(page: str, lower: str, start: int) -> tuple[int, bool]:
    """Where what begins with "<" at `start` has ended, -1 for nowhere, and whether it breaks the line."""
    if page.startswith("<!--", start):
        end = page.find("-->", start + 4)
        return (end + 3 if end >= 0 else -1), False
    tag = _TAG.match(page, start + 1)
    if tag is None and page[start + 1 : start + 2] not in ("!", "?", "/"):
        return start, False
    end = page.find(">", start) + 1
    if end == 0 or tag is None:
        return end or -1, False
    name = tag.group(1).lower()
    if name in _SILENT and page[start + 1] != "/":
        return lower.find(f"</{name}", end), False
    return end, name not in _INLINE


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a character by a number of thousands of digits
        return text
