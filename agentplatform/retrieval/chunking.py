"""Cuts a document into passages along its own structure: headings first, then paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_CHUNK_CHARACTERS = 1_600

_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$")
_FENCE = re.compile(r"^\s*(```|~~~)")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage, and the headings it stands under, outermost first, joined by ' › '."""

    heading: str
    text: str


def chunk_document(content: str, *, is_markdown: bool) -> list[Chunk]:
    """The passages of a document in order, none longer than MAX_CHUNK_CHARACTERS unless one word is."""
    sections = _markdown_sections(content) if is_markdown else iter([("", content)])
    return [Chunk(heading, piece) for heading, body in sections for piece in _pieces(body)]


def _markdown_sections(content: str) -> Iterator[tuple[str, str]]:
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    in_fence = False
    for line in content.splitlines():
        in_fence ^= bool(_FENCE.match(line))
        heading = None if in_fence else _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        yield " › ".join(name for _, name in path), "\n".join(lines)
        lines = []
        level = len(heading[1])
        path = [*((depth, name) for depth, name in path if depth < level), (level, heading[2])]
    yield " › ".join(name for _, name in path), "\n".join(lines)


def _pieces(body: str) -> Iterator[str]:
    """Paragraphs, gathered up to the limit."""
    gathered = ""
    for paragraph in re.split(r"\n\s*\n", body):
        for part in _split_long(paragraph.strip()):
            if gathered and len(gathered) + len(part) + 2 > MAX_CHUNK_CHARACTERS:
                yield gathered
                gathered = part
            else:
                gathered = f"{gathered}\n\n{part}" if gathered else part
    if gathered:
        yield gathered


def _split_long(paragraph: str) -> Iterator[str]:
    """The paragraph itself, or pieces of it cut at the last white space before the limit."""
    while len(paragraph) > MAX_CHUNK_CHARACTERS:
        cut = max(
            paragraph.rfind(" ", 0, MAX_CHUNK_CHARACTERS), paragraph.rfind("\n", 0, MAX_CHUNK_CHARACTERS)
        )
        cut = cut if cut > 0 else MAX_CHUNK_CHARACTERS
        yield paragraph[:cut].rstrip()
        paragraph = paragraph[cut:].lstrip()
    if paragraph:
        yield paragraph
