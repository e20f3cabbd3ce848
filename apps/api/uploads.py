"""Documents uploaded as files: Markdown, plain text, PDF."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import PurePath
from typing import IO, Any

import orjson
from django.core.files.uploadedfile import UploadedFile
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, MultiPartParser

from agentplatform.retrieval.chunking import title_of
from agentplatform.retrieval.pdf import PdfError
from apps.api.authentication import principal_of
from apps.api.errors import FieldError, Problem
from apps.api.parsers import kept_exactly
from apps.knowledge.models import Document
from apps.knowledge.pdfs import read_pdf

_TYPE_BY_SUFFIX = {
    ".md": Document.ContentType.MARKDOWN,
    ".markdown": Document.ContentType.MARKDOWN,
    ".txt": Document.ContentType.PLAIN,
}
_PDF_HEADER_WITHIN = 1024


class Upload(dict[str, Any]):
    """The fields of a document that came as a file: those of its JSON form, `content` being the file's text."""


class DocumentUploadParser(BaseParser):
    """`multipart/form-data` with one `file`, and the other fields of a document as texts; `metadata` is JSON.

    Without a `title`, a new document has its first heading of level 1, or the name of its file.
    """

    media_type = "multipart/form-data"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Upload:
        parts = MultiPartParser().parse(stream, media_type, parser_context)
        files = list(parts.files.lists())
        if [name for name, _ in files] != ["file"] or len(files[0][1]) != 1:
            raise ParseError("Send exactly one file, in the part named 'file'.")
        fields = Upload({name: _only(name, values) for name, values in parts.data.lists()})
        if "metadata" in fields:
            fields["metadata"] = _json(fields["metadata"])
        file: UploadedFile = files[0][1][0]
        assert parser_context is not None
        request = parser_context["request"]
        tenant = principal_of(request).tenant
        assert tenant is not None, "HasTenantScope let an operator's key through"
        fields |= _text_of(file, fields.get("content_type"), tenant.pk)
        if "title" not in fields and request.method != "PATCH":
            fields["title"] = title_of(fields["content"]) or PurePath(file.name or "document").stem[:500]
        return fields


def _only(name: str, values: list[str]) -> str:
    if len(values) != 1 or name == "content":
        raise ParseError(f"The field '{name}' is given more than once; the text is that of the file.")
    if "\x00" in values[0]:
        raise ParseError(
            f"The field '{name}' holds the character U+0000, which cannot be stored; leave it out."
        )
    return values[0]


def _json(text: str) -> Any:
    try:
        return kept_exactly(orjson.loads(text), depth=1)
    except orjson.JSONDecodeError as error:
        raise ParseError(f"The field 'metadata' is not valid JSON: {error}.") from None


def _text_of(file: UploadedFile, content_type: str | None, tenant_id: uuid.UUID) -> dict[str, str]:
    """`content` and `content_type` of a file. Raises Problem, 415 or 422, saying what to send instead."""
    data = file.read()
    if b"%PDF-" in data[:_PDF_HEADER_WITHIN]:
        try:
            return {"content": "\f".join(read_pdf(tenant_id, data)), "content_type": Document.ContentType.PDF}
        except PdfError as error:
            raise _refused(422, error.code, str(error)) from None
    declared = content_type or _declared_type(file)
    if declared is None or declared == Document.ContentType.PDF:
        raise _refused(
            415,
            "unsupported_file",
            "The file is neither Markdown, plain text nor PDF; convert it to one of these.",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused(422, "not_utf8", f"The file is not UTF-8 text: byte {error.start} is not.") from None
    if "\x00" in text:
        raise _refused(422, "not_text", "The file holds the character U+0000, so it is no text.")
    return {"content": text, "content_type": declared}


def _declared_type(file: UploadedFile) -> str | None:
    by_suffix = _TYPE_BY_SUFFIX.get(PurePath(file.name or "").suffix.lower())
    is_text = file.content_type in (Document.ContentType.MARKDOWN, Document.ContentType.PLAIN)
    return by_suffix or (file.content_type if is_text else None)


def _refused(status: int, code: str, detail: str) -> Problem:
    return Problem(status, code, detail, errors=[FieldError("/file", detail)])
