"""A kept answer is told in pieces, as a model would have said it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentplatform.llm.caching.serving import PIECE_CHARACTERS, pieces


@given(st.text())
def test_pieces_add_up_to_the_text(text: str) -> None:
    """None is empty, none too long."""
    told = list(pieces(text))
    assert "".join(told) == text
    assert all(0 < len(piece) <= PIECE_CHARACTERS for piece in told)


def test_words_stay_whole() -> None:
    """Where they are not longer than a piece."""
    text = "A lease lasts fifteen seconds, and is renewed every five. " * 3
    assert all(piece.endswith(" ") for piece in list(pieces(text))[:-1])
