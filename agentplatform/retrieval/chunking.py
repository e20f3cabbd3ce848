"""Cuts a document into passages along its own structure: headings or pages first, then paragraphs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

MAX_CHUNK_CHARACTERS = 1_000
"""About as much as the embedding model reads of a text (agentplatform.embedding.vectors.MAX_TOKENS)."""
MAX_HEADING_CHARACTERS = 500
"""How long a chunk's path of headings may be; where it would be longer, the outermost are left out."""
MAX_HEADING_NAME_CHARACTERS = 250
"""A longer one is no heading but text: it would stand above every passage of its section."""

# No two parts of these patterns match the same characters, so that no line takes more than its length in steps.
_HEADING = re.compile(r"^(#{1,6})[ \t]+([^ \t].*)$")
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})(.*)$")
_BLANK_LINES = re.compile(r"^(?:[^\S\n]*\n)+")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage, and the headings it stands under, outermost first, joined by ' › '."""

    heading: str
    text: str


def chunk_document(content: str, content_type: str) -> list[Chunk]:
    """The passages of a document in order, none longer than MAX_CHUNK_CHARACTERS.

    Markdown (`text/markdown`): a heading with nothing under it is a passage of its own; code keeps its indentation.
    PDF (`application/pdf`): pages are parted by form feeds. Anything else is plain text.
    """
    sections = _SECTIONS.get(content_type, _plain_sections)(content)
    return [Chunk(heading, piece) for heading, body in sections for piece in _pieces(body)]


def title_of(content: str) -> str:
    """The first Markdown heading of the first level, "" where there is none."""
    headings = (_heading(line) for line in content.splitlines())
    return next((name for level, name in filter(None, headings) if level == 1), "")


def _markdown_sections(content: str) -> Iterator[tuple[str, str]]:
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    fence = ""
    for line in content.splitlines():
        heading = None if fence else _heading(line)
        fence = _fence_after(fence, line)
        if heading is None:
            lines.append(line)
            continue
        level, _ = heading
        yield _section(path, lines, is_innermost=bool(path) and level <= path[-1][0])
        lines = []
        path = [*((depth, name) for depth, name in path if depth < level), heading]
    yield _section(path, lines, is_innermost=bool(path))


def _pages(content: str) -> Iterator[tuple[str, str]]:
    return ((f"Page {number}", text) for number, text in enumerate(content.split("\f"), start=1))


def _plain_sections(content: str) -> Iterator[tuple[str, str]]:
    yield "", content


_SECTIONS: Mapping[str, Callable[[str], Iterator[tuple[str, str]]]] = {
    "text/markdown": _markdown_sections,
    "application/pdf": _pages,
}


def _section(path: Sequence[tuple[int, str]], lines: Sequence[str], *, is_innermost: bool) -> tuple[str, str]:
    names = [name for _, name in path]
    body = "\n".join(lines)
    if is_innermost and not body.strip():
        body = names[-1]
    while len(heading := " › ".join(names)) > MAX_HEADING_CHARACTERS:
        del names[0]
    return heading, body


def _heading(line: str) -> tuple[int, str] | None:
    """Level and name of an ATX heading (CommonMark 4.2); None for any other line."""
    match = _HEADING.match(line)
    if match is None:
        return None
    name = match[2].rstrip()
    unmarked = name.rstrip("#")
    if not unmarked or unmarked[-1].isspace():
        name = unmarked.rstrip()  # a closing sequence; in "C#" it is part of the name
    return (len(match[1]), name) if 0 < len(name) <= MAX_HEADING_NAME_CHARACTERS else None


def _fence_after(fence: str, line: str) -> str:
    """The marks of the code fence (CommonMark 4.5) that is open after `line`, "" for none."""
    match = _FENCE.match(line)
    if match is None:
        return fence
    marks, rest = match[1], match[2]
    if not fence:
        return "" if marks[0] == "`" and "`" in rest else marks
    closes = marks.startswith(fence) and not rest.strip()
    return "" if closes else fence


def _pieces(body: str) -> Iterator[str]:
    """Paragraphs, gathered up to the limit."""
    gathered = ""
    for paragraph in re.split(r"\n\s*\n", body):
        for part in _split_long(_BLANK_LINES.sub("", paragraph).rstrip()):
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
        if piece := paragraph[:cut].rstrip():
            yield piece
        paragraph = paragraph[cut:].lstrip()
    if paragraph:
        yield paragraph
