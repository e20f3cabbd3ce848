"""Long texts are cut into parts that a model can read one at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentplatform.retrieval.parts import text_parts


@given(st.text(alphabet="ab .\n#", max_size=400), st.integers(1, 60))
def test_joined_the_parts_are_the_text(text: str, max_characters: int) -> None:
    """Nothing is lost or doubled, and no part is empty or longer than it may be."""
    parts = list(text_parts(text, max_characters))
    assert "".join(parts) == text
    assert all(0 < len(part) <= max_characters for part in parts)


def test_a_part_ends_before_a_heading_where_it_can() -> None:
    """Although a paragraph, a line and a sentence end later."""
    text = "One. Two.\n\nThree.\n## Next\n\nFour.\n\nFive. Six."
    assert next(iter(text_parts(text, 34))) == "One. Two.\n\nThree.\n"


def test_a_part_ends_after_a_paragraph_then_a_line_then_a_sentence_then_a_word() -> None:
    """The best end in the second half of the part; in mid-word where there is no other."""
    assert next(iter(text_parts("aaaa\n\nbb\ncc. dd eeee", 16))) == "aaaa\n\nbb\n"
    assert next(iter(text_parts("aa bb. cc dd", 10))) == "aa bb. "
    assert next(iter(text_parts("aaaa bbbb", 7))) == "aaaa "
    assert list(text_parts("abcdefgh", 5)) == ["abcde", "fgh"]


def test_a_text_that_fits_is_one_part() -> None:
    """And one without a character is none."""
    assert list(text_parts("short", 5)) == ["short"]
    assert list(text_parts("", 5)) == []
