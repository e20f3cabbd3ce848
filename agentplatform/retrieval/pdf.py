"""The text of a PDF, read in a process of its own: a hostile file can take neither the time nor the memory of ours."""

from __future__ import annotations

import functools
import importlib.metadata
import io
import resource
import subprocess
import sys

import orjson

MAX_PAGES = 2_000
MAX_SECONDS = 20
MAX_MEMORY_BYTES = 1024**3
MAX_CHARACTERS = 8 * 1024 * 1024
READING = 1
"""Counts on with every change of what is made of a PDF here."""
TOO_COMPLEX = "pdf_too_complex"
"""The one code of PdfError that another try may not meet with: the machine may have had too much to do."""
_NO_TEXT = (
    "The PDF has {} and no text on any of them; it is probably a scan. Run it through text recognition (OCR) and "
    "upload the result."
)
_TOO_MUCH = (
    f"The PDF takes more than {MAX_SECONDS} seconds or {MAX_MEMORY_BYTES // 1024**2} MB to read; "
    "split it, or upload its text."
)


class PdfError(ValueError):
    """There is no text to be had of this PDF. `code` is stable, the message says what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@functools.cache
def reader_version() -> str:
    """What the text of a PDF depends on beside its bytes."""
    return f"{READING}, pypdf {importlib.metadata.version('pypdf')}"


def pdf_pages(data: bytes) -> list[str]:
    """The text of each page, "" for a page that has none. Raises PdfError, also when no page has any."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=data,
            capture_output=True,
            timeout=MAX_SECONDS + 5,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PdfError(TOO_COMPLEX, _TOO_MUCH) from None
    if done.returncode != 0:
        raise PdfError(TOO_COMPLEX, _TOO_MUCH)
    answer = orjson.loads(done.stdout)
    if "code" in answer:
        raise PdfError(answer["code"], answer["message"])
    pages: list[str] = answer["pages"]
    return pages


def _read(data: bytes) -> list[str]:
    # Imported here, since only the process that reads a PDF needs it.
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise PdfError("pdf_encrypted", "The PDF is protected by a password; upload one that is not.")
        if len(reader.pages) > MAX_PAGES:
            raise PdfError(
                "pdf_too_long",
                f"The PDF has {len(reader.pages)} pages, at most {MAX_PAGES} are read; split it.",
            )
        pages = [_clean(page.extract_text()) for page in reader.pages]
    except PdfError:
        raise
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise PdfError(
            "pdf_damaged", f"The file cannot be read as a PDF ({type(error).__name__}); it may be damaged."
        ) from error
    if not any(page.strip() for page in pages):
        raise PdfError(
            "pdf_without_text", _NO_TEXT.format("1 page" if len(pages) == 1 else f"{len(pages)} pages")
        )
    if sum(map(len, pages)) > MAX_CHARACTERS:
        raise PdfError(
            "pdf_too_long", f"The PDF has more than {MAX_CHARACTERS} characters of text; split it."
        )
    return pages


def _clean(text: str) -> str:
    """Without what cannot be stored (U+0000, lone surrogates), and without form feeds, which part pages."""
    text = text.replace("\x00", "").replace("\f", "\n")
    return text.encode("utf-8", "replace").decode()


def main() -> int:
    """Reads a PDF from standard input and writes its pages, or what is wrong with it, as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    try:
        answer: dict[str, object] = {"pages": _read(sys.stdin.buffer.read())}
    except PdfError as error:
        answer = {"code": error.code, "message": str(error)}
    except MemoryError:
        answer = {"code": TOO_COMPLEX, "message": _TOO_MUCH}
    sys.stdout.buffer.write(orjson.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
