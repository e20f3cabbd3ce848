"""Cuts a long text into parts that a model can read one at a time."""

from __future__ import annotations

from collections.abc import Iterator

_ENDS = ("\n# ", "\n## ", "\n### ", "\n\n", "\n", ". ", " ")
"""Where a part may end, the best first: before a heading, after a paragraph, a line, a sentence, a word."""


def text_parts(text: str, max_characters: int) -> Iterator[str]:
    """The parts of a text in order, none longer than `max_characters`; joined, they are the text.

    A part ends at the best place in the second half of what it may hold, and in mid-word only where there is none.
    """
    start = 0
    while start < len(text):
        end = _end(text, start, max_characters)
        yield text[start:end]
        start = end


def _end(text: str, start: int, max_characters: int) -> int:
    limit = start + max_characters
    if len(text) <= limit:
        return len(text)
    for mark in _ENDS:
        found = text.rfind(mark, start + max_characters // 2, limit)
        if found >= 0:
            # A heading begins the next part, whatever else ends this one.
            return found + 1 if "#" in mark else found + len(mark)
    return limit
