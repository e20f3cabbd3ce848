"""The text that an input brings along, or names as a document of the tenant's knowledge base."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models.functions import Length

from agentplatform.agents.agent import StepContext, StepError
from agentplatform.agents.extracting import MAX_TEXT_CHARACTERS
from agentplatform.agents.registry import registry
from agentplatform.agents.summarizing import document_items
from agentplatform.json_schema import Fault
from agentplatform.llm.caching.policy import Caching
from apps.database import release_connection
from apps.knowledge.models import Document

TEXT_OR_DOCUMENT: Mapping[str, Any] = {
    "text": {"type": "string", "minLength": 1, "description": "The text itself."},
    "document_id": {
        "type": "string",
        "format": "uuid",
        "description": "A document of your knowledge base, in place of the text.",
    },
}
ONE_OF_THEM = [{"required": ["text"]}, {"required": ["document_id"]}]


@registry.input_check("document_exists")
def check_document_exists(tenant_id: uuid.UUID, workflow_input: Mapping[str, Any]) -> Iterator[Fault]:
    """`document_id`, where it is given, names a document of this tenant."""
    if "document_id" in workflow_input and _characters(tenant_id, workflow_input["document_id"]) is None:
        yield Fault(
            ("document_id",), "There is no such document in your knowledge base; GET documents/ lists them."
        )


@registry.input_check("document_fits_one_call")
def check_document_fits(tenant_id: uuid.UUID, workflow_input: Mapping[str, Any]) -> Iterator[Fault]:
    """The document, where one is named, is no longer than what data are extracted from."""
    if "document_id" not in workflow_input:
        return
    characters = _characters(tenant_id, workflow_input["document_id"])
    if characters is not None and characters > MAX_TEXT_CHARACTERS:
        yield Fault(("document_id",), _too_long(characters))


@registry.agent("split_text")
class SplitText:
    """Output: `{"parts": [{"number", "of", "text"}]}`: the elements of a fan-out, each with its own text.

    The one step that holds the whole: those of the fan-out get their element alone.
    """

    caching = Caching.EXACT

    def run(self, step: StepContext) -> Any:
        return {"parts": document_items(source_text(step))}


@registry.agent("read_text")
class ReadText:
    """Output: `{"text"}`, as it is now: a document that is changed later does not change the run."""

    caching = Caching.EXACT

    def run(self, step: StepContext) -> Any:
        text = source_text(step)
        if not text.strip():
            raise StepError("empty_document", "The document has no text; there is nothing to extract.")
        if len(text) > MAX_TEXT_CHARACTERS:
            raise StepError("document_too_long", _too_long(len(text)))
        return {"text": text}


def _too_long(characters: int) -> str:
    return (
        f"The document has {characters} characters, and data are extracted from at most {MAX_TEXT_CHARACTERS}; "
        "give the part of it that has them, as 'text'."
    )


def source_text(step: StepContext) -> str:
    """The input's text, or its document's. Raises StepError when the document has been deleted meanwhile."""
    if "text" in step.input:
        return str(step.input["text"])
    try:
        found = (
            _documents(step.tenant_id, step.input["document_id"]).values_list("content", flat=True).first()
        )
    finally:
        release_connection()
    if found is None:
        raise StepError("document_gone", "The document has been deleted since the workflow was submitted.")
    return found


def _documents(tenant_id: uuid.UUID, document_id: str) -> Any:
    return Document.objects.filter(tenant_id=tenant_id, pk=document_id)


def _characters(tenant_id: uuid.UUID, document_id: str) -> int | None:
    """How long the document is; None when the tenant has none of this id."""
    found: int | None = _documents(tenant_id, document_id).values_list(Length("content"), flat=True).first()
    return found
