"""Reads of a tenant's knowledge base."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db import connection

# Any word of the question may match: asking for all of them would leave most questions without a passage.
# ts_rank_cd with normalisation 32 maps a rank into [0, 1); a match in the title's heading weighs most.
_SEARCH = """
    WITH question AS (
        SELECT replace(plainto_tsquery('english', %(question)s)::text, '&', '|')::tsquery AS query)
    SELECT d.id, d.title, c.heading, c.text, ts_rank_cd(c.search, question.query, 32) AS rank
    FROM knowledge_chunk c JOIN knowledge_document d ON d.id = c.document_id, question
    WHERE c.tenant_id = %(tenant)s AND c.search @@ question.query
    ORDER BY rank DESC, c.id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that matches a question, with its rank in [0, 1)."""

    document_id: uuid.UUID
    title: str
    heading: str
    text: str
    rank: float


def search_passages(*, tenant_id: uuid.UUID, question: str, limit: int) -> list[Passage]:
    """The tenant's chunks that match any word of `question`, best first, by Postgres full text."""
    with connection.cursor() as cursor:
        cursor.execute(_SEARCH, {"question": question, "tenant": tenant_id, "limit": limit})
        return [Passage(*row) for row in cursor.fetchall()]
