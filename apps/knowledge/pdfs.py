"""The text of uploaded PDFs, kept for a while: the same upload is not read twice."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from agentplatform.retrieval.pdf import TOO_COMPLEX, PdfError, pdf_pages, reader_version
from apps.context_cache import context_cache

WAIT_SECONDS = 10.0
"""For how long the same upload is waited for: reading one can take many seconds of a core."""


def read_pdf(tenant_id: uuid.UUID, data: bytes) -> list[str]:
    """The text of each page. Raises PdfError; what is wrong with a file is kept as well."""

    def make() -> dict[str, Any]:
        try:
            return {"pages": pdf_pages(data)}
        except PdfError as error:
            return {"code": error.code, "message": str(error)}

    read = context_cache().get_or_make(
        "pdf",
        tenant_id,
        {"sha256": hashlib.sha256(data).hexdigest(), "reader": reader_version()},
        make,
        is_worth=lambda read: read.get("code") != TOO_COMPLEX,
        wait_seconds=WAIT_SECONDS,
    )
    if "code" in read:
        raise PdfError(read["code"], read["message"])
    pages: list[str] = read["pages"]
    return pages
