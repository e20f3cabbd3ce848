"""Documents are cut along their own structure: nothing is lost, no passage is too long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.retrieval.chunking import (
    MAX_CHUNK_CHARACTERS,
    MAX_HEADING_CHARACTERS,
    Chunk,
    chunk_document,
    title_of,
)

CONTENT_TYPES = ("text/markdown", "text/plain", "application/pdf")
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1)
markdown_lines = st.one_of(
    words,
    st.sampled_from(
        ["", "", "   ", "```", "~~~", "````", "```python", "    indented", "* item", "#no heading"]
    ),
    st.builds(lambda level, name: f"{'#' * level} {name}", st.integers(1, 7), words),
    st.builds(lambda word, count: " ".join([word] * count), words, st.integers(1, 2_000)),
)


def markdown(content: str) -> list[tuple[str, str]]:
    """The (heading, text) of a Markdown document's chunks."""
    return [(chunk.heading, chunk.text) for chunk in chunk_document(content, "text/markdown")]


def squeezed(text: str) -> str:
    """The text without white space."""
    return "".join(text.split())


@given(st.lists(words, max_size=50), st.sampled_from([" ", "\n", "\n\n", "\r\n", "\t", " \n \n "]))
def test_plain_text_loses_nothing_but_white_space(parts: list[str], separator: str) -> None:
    """In order, each passage within the limit and none empty."""
    content = separator.join(parts)
    chunks = chunk_document(content, "text/plain")
    assert squeezed("".join(chunk.text for chunk in chunks)) == squeezed(content)
    assert all(chunk.heading == "" and chunk.text.strip() for chunk in chunks)
    assert all(len(chunk.text) <= MAX_CHUNK_CHARACTERS for chunk in chunks)


@given(st.lists(markdown_lines, max_size=30))
def test_markdown_loses_no_word(lines: list[str]) -> None:
    """Every word stands in a passage or in a heading above one, in order; limits hold."""
    chunks = chunk_document("\n".join(lines), "text/markdown")
    assert all(len(chunk.text) <= MAX_CHUNK_CHARACTERS and chunk.text.strip() for chunk in chunks)
    assert all(len(chunk.heading) <= MAX_HEADING_CHARACTERS for chunk in chunks)
    found = squeezed(" ".join(f"{chunk.heading} {chunk.text}" for chunk in chunks))
    for line in lines:
        for word in line.strip("# ").split():
            if len(word) < MAX_CHUNK_CHARACTERS // 2:
                assert squeezed(word.strip("#")) in found


@given(st.text(max_size=5_000), st.sampled_from(CONTENT_TYPES))
def test_any_text_is_cut_within_the_limit(content: str, content_type: str) -> None:
    """Whatever characters it has."""
    for chunk in chunk_document(content, content_type):
        assert chunk.text.strip()
        assert len(chunk.text) <= MAX_CHUNK_CHARACTERS


def test_a_passage_stands_under_the_headings_above_it() -> None:
    """Outermost first; a heading ends those of its level and below."""
    content = "before\n# A\none\n## B\ntwo\n### C ##\nthree\n## D\nfour\n# E\nfive"
    assert markdown(content) == [
        ("", "before"),
        ("A", "one"),
        ("A › B", "two"),
        ("A › B › C", "three"),
        ("A › D", "four"),
        ("E", "five"),
    ]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("# C#", "C#"),
        ("# C# ##", "C#"),
        ("#\tTab", "Tab"),
        ("# a #", "a"),
        ("#  b  ", "b"),
        ("###### six", "six"),
    ],
)
def test_marks_at_a_headings_end_close_it_only_apart(line: str, name: str) -> None:
    """What belongs to its name stays (CommonMark 4.2)."""
    assert markdown(f"{line}\ntext") == [(name, "text")]


def test_a_path_of_headings_keeps_to_its_limit() -> None:
    """The outermost are left out; what is too long for a heading is text."""
    content = "\n".join(f"{'#' * level} {str(level) * 200}" for level in range(1, 7)) + "\ntext"
    assert markdown(content) == [("5" * 200 + " › " + "6" * 200, "text")]
    assert markdown(f"# {'x' * 300}\ntext") == [("", f"# {'x' * 300}\ntext")]


def test_a_level_may_be_left_out() -> None:
    """Three under one, then two under one."""
    assert markdown("# A\n### C\nthree\n## B\ntwo") == [("A › C", "three"), ("A › B", "two")]


def test_a_heading_with_nothing_under_it_is_found_all_the_same() -> None:
    """It is its own passage; one that has sections below is in their path already."""
    assert markdown("# A\n## Is it slow? No.\n## B\ntwo") == [
        ("A › Is it slow? No.", "Is it slow? No."),
        ("A › B", "two"),
    ]
    assert markdown("# Only this") == [("Only this", "Only this")]


@pytest.mark.parametrize(
    ("opening", "inside", "closing"),
    [
        ("```", "# comment", "```"),
        ("```python", "# comment", "```"),
        ("~~~", "# comment", "~~~"),
        ("~~~", "```\n# comment", "~~~"),
        ("```", "~~~\n# comment", "```"),
        ("````", "```\n# comment\n```\n# more", "````"),
        ("```", "# comment", "`````  "),
        ("  ```", "# comment", "   ```"),
        ("```", "```python\n# comment", "```"),
    ],
)
def test_a_comment_in_a_fence_is_no_heading(opening: str, inside: str, closing: str) -> None:
    """A fence ends with as many of its own marks and nothing behind them (CommonMark 4.5)."""
    code = f"{opening}\n{inside}\n{closing}"
    assert markdown(f"# A\n{code}\n# B\nend") == [("A", code.rstrip()), ("B", "end")]


@pytest.mark.parametrize(
    "line", ["```not a fence``` but code", "text ```", "#hashtag", "####### seven", "\\# no"]
)
def test_a_line_that_only_looks_like_a_fence_or_heading_is_text(line: str) -> None:
    """What follows it keeps its headings."""
    assert markdown(f"# A\n{line}\n# B\nend") == [("A", line), ("B", "end")]


def test_a_fence_that_is_never_closed_reaches_to_the_end() -> None:
    """As Markdown says."""
    assert markdown("# A\n```\n# B\nend") == [("A", "```\n# B\nend")]


def test_code_keeps_its_indentation() -> None:
    """Also behind an empty line, where a paragraph would begin."""
    code = "```\ndef f():\n    one = 1\n\n    return one\n```"
    assert markdown(code) == [("", code)]


def test_paragraphs_are_gathered_up_to_the_limit() -> None:
    """As many as fit, whole."""
    paragraph = "word " * 59 + "word"
    texts = [text for _, text in markdown("\n\n".join([paragraph] * 7))]
    assert texts == ["\n\n".join([paragraph] * 3), "\n\n".join([paragraph] * 3), paragraph]


def test_a_long_paragraph_is_cut_between_words() -> None:
    """A word that is longer than a passage is cut where it must be."""
    pieces = [text for _, text in markdown("word " * 1_000)]
    assert all(piece.split() == ["word"] * len(piece.split()) for piece in pieces)
    assert sum(len(piece.split()) for piece in pieces) == 1_000
    assert [len(text) for _, text in markdown("x" * 2_500)] == [1_000, 1_000, 500]


HOSTILE = {
    "spaces in a heading": "# a" + " " * 200_000 + "b",
    "marks in a heading": "# a" + "#" * 200_000 + "b",
    "marks and spaces in a heading": "# a" + " #" * 100_000 + "b",
    "only spaces in a heading": "#" + " " * 200_000,
    "spaces between paragraphs": ("x\n" + " " * 1_000) * 200,
    "blank lines": "x" + "\n \t\r" * 60_000 + "x",
    "fences": "```\n" * 60_000,
    "headings": "# a\n" * 50_000,
    "ever deeper headings": "# a\n## b\n### c\n" * 15_000,
    "a long heading over many": f"# {'x' * 100_000}\n" + "## a\nb\n" * 12_500,
    "no space at all": "x" * 200_000,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_no_document_takes_long(content: str, content_type: str) -> None:
    """The time grows with the length, not with its square: one upload must not stop a web process."""
    started = time.process_time()
    chunk_document(content, content_type)
    assert time.process_time() - started < 1.5


def test_nothing_makes_no_passage() -> None:
    """Neither an empty document nor one of white space."""
    assert chunk_document("", "text/markdown") == chunk_document(" \n\t\n ", "text/plain") == []
    assert Chunk("a", "b") == Chunk("a", "b")


def test_the_pages_of_a_pdf_are_told_apart() -> None:
    """By form feeds; a page without text has no passage."""
    chunks = chunk_document("One.\f \fThree.", "application/pdf")
    assert chunks == [Chunk("Page 1", "One."), Chunk("Page 3", "Three.")]


def test_the_title_of_a_document_is_its_first_heading_of_level_one() -> None:
    """Not of any other level."""
    assert title_of("## Two\n\n# One #\n\n# Other") == "One"
    assert title_of("no heading") == ""
