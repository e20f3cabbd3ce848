"""The text of PDFs, and what is said of those that give none."""

from __future__ import annotations

import subprocess
import sys
import zlib

import pytest

from agentplatform.retrieval.pdf import PdfError, pdf_pages
from tests.pdfs import encrypted, pdf_of


def code_of(data: bytes) -> str:
    """The code of the error that reading gives."""
    with pytest.raises(PdfError) as refused:
        pdf_pages(data)
    assert str(refused.value).endswith((".", "it."))
    return refused.value.code


def test_each_page_gives_its_text() -> None:
    """In order; a blank page among them gives none."""
    pages = pdf_pages(pdf_of("The first page\nhas two lines.", "", "The third."))
    assert [page.split() for page in pages] == [
        ["The", "first", "page", "has", "two", "lines."],
        [],
        ["The", "third."],
    ]


def test_a_pdf_without_text_says_so() -> None:
    """With how many pages it has, and what helps."""
    with pytest.raises(PdfError, match=r"2 pages and no text .*OCR"):
        pdf_pages(pdf_of("", ""))


def test_a_pdf_with_a_password_says_so() -> None:
    """One that anybody may open is read."""
    assert code_of(encrypted(pdf_of("Secret."), "key")) == "pdf_encrypted"
    assert pdf_pages(encrypted(pdf_of("Open."), "")) == ["Open."]


@pytest.mark.parametrize(
    "data",
    [b"%PDF-1.4\nnothing", b"%PDF-", pdf_of("Cut.")[:200], pdf_of("X.").replace(b"/Kids", b"/Kinds")],
)
def test_a_damaged_pdf_says_so(data: bytes) -> None:
    """Whatever is missing."""
    assert code_of(data) in {"pdf_damaged", "pdf_without_text"}


def test_a_pdf_that_unpacks_to_a_hundred_megabytes_is_refused() -> None:
    """In a process of its own, whose memory and time are bounded."""
    stream = zlib.compress(b"BT " + b"(xxxxxxxx) Tj " * 8_000_000 + b"ET", 9)
    page = pdf_of("Y")
    start = page.index(b"<< /Length")
    end = page.index(b"endstream")
    header = f"<< /Length {len(stream)} /Filter /FlateDecode >>\nstream\n".encode()
    hostile = page[:start] + header + stream + b"\n" + page[end:]
    assert code_of(hostile) in {"pdf_too_complex", "pdf_too_long", "pdf_damaged"}


def test_only_the_process_that_reads_loads_the_library() -> None:
    """The web process stays small."""
    script = "import sys, agentplatform.retrieval.pdf; sys.exit('pypdf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
