"""Passages of the knowledge base in prompts, and the sources that an answer cites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr


def passages_block(passages: Sequence[Mapping[str, Any]]) -> str:
    """The passages as a prompt shows them, numbered from 1."""
    blocks = "\n".join(
        f'<passage id="{number}" source={quoteattr(passage["title"])} '
        f"heading={quoteattr(passage['heading'])}>{escape(passage['text'])}</passage>"
        for number, passage in enumerate(passages, start=1)
    )
    return f"<passages>\n{blocks}\n</passages>"


def cited_sources(answer: str, passages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The passages that the answer cites as [n]; all of them when it cites none."""
    cited = [n for n in range(1, len(passages) + 1) if f"[{n}]" in answer]
    numbers = cited or range(1, len(passages) + 1)
    return [
        {
            "passage": number,
            "title": passages[number - 1]["title"],
            "heading": passages[number - 1]["heading"],
            "document_id": passages[number - 1]["document_id"],
        }
        for number in numbers
    ]
