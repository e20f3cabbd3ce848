"""A request too large for every context window is taken apart: its document in parts, then what came of them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agentplatform.llm.errors import ContextWindowExceeded
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.llm.model import CallContext, Model
from agentplatform.retrieval.parts import text_parts

NOTES_MAX_TOKENS = 1_000
"""How long what is taken from one part may be."""

CHARACTERS_PER_TOKEN = 3
"""Fewer than tokens usually have, so that a part is rather too small than too large."""

LEAST_PART_TOKENS = 2 * NOTES_MAX_TOKENS
"""With smaller parts the notes together would hardly be shorter than the document."""


class Decomposed:
    """Divides the `document` of a request that no window takes (map), and asks the same of the notes (reduce).

    Notes that are too many are divided again. The result is labelled `input_divided`. A request whose document cannot
    be divided, or which is too large without it, raises ContextWindowExceeded as it came.
    """

    def __init__(self, inner: Model) -> None:
        self._inner = inner

    def complete(self, request: ModelRequest, context: CallContext) -> ModelResponse:
        try:
            return self._inner.complete(request, context)
        except ContextWindowExceeded as error:
            parts = parts_of(request, error.max_input_tokens)
            if len(parts) < 2:
                raise
        # One after the other, each of them would wait for a batch of its own.
        context.tolerates_delay = False
        notes = []
        for part in parts:
            notes.append(self._inner.complete(part, context).text.strip())
            context.restart_text()  # notes are nothing to show
        context.degrade(
            "input_divided",
            "The input is larger than any context window that may be used: it was read in parts, and the answer made "
            "from notes on them.",
        )
        return self.complete(replace(request, document="\n\n".join(note for note in notes if note)), context)


def parts_of(request: ModelRequest, max_input_tokens: int) -> list[ModelRequest]:
    """The requests for notes on each part of the document; none where it cannot be divided."""
    around = replace(request, document="").input_estimate_tokens + NOTES_MAX_TOKENS
    room = min(max_input_tokens, max_input_tokens + request.max_tokens - NOTES_MAX_TOKENS) - around
    if not request.document or room < LEAST_PART_TOKENS:
        return []
    parts = [part for part in text_parts(request.document, room * CHARACTERS_PER_TOKEN) if part.strip()]
    return [
        replace(
            request,
            document=part,
            messages=tuple(_for_notes(request, number, len(parts))),
            max_tokens=NOTES_MAX_TOKENS,
            output_schema=None,
        )
        for number, part in enumerate(parts, start=1)
    ]


def _for_notes(request: ModelRequest, number: int, count: int) -> Iterator[Mapping[str, Any]]:
    yield from request.messages[:-1]
    last = request.messages[-1]
    wish = (
        f"The document is part {number} of {count} of a longer one. Do not do this yet: write down, briefly, everything "
        "in this part that is needed for it."
    )
    content = last["content"]
    said = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    yield {**last, "content": [*said, {"type": "text", "text": wish}]}
