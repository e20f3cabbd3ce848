"""Definitions that work on the knowledge base."""

from agentplatform.agents.answering import ANSWER_MAX_TOKENS, KIND_MAX_TOKENS
from agentplatform.agents.conversing import MAX_MESSAGE_CHARACTERS, REPLY_MAX_TOKENS
from agentplatform.agents.extracting import EXTRACT_MAX_TOKENS, MAX_TEXT_CHARACTERS
from agentplatform.agents.registry import registry
from agentplatform.agents.summarizing import (
    GROUP_MAX_TOKENS,
    MAX_COMBINED,
    MAX_PART_CHARACTERS,
    MAX_PARTS,
    MOST_WORDS,
    PARTIAL_MAX_TOKENS,
    STYLES,
    summary_max_tokens,
)
from agentplatform.llm.caching.policy import DEFAULT_TTL_SECONDS
from agentplatform.llm.tiers import Tier
from agentplatform.memory.room import DEFAULT_MAX_TOKENS
from agentplatform.workflows.definition import Definition, SessionUse, StepSpec
from apps.knowledge import research, research_workflows, review_workflows, source_texts
from apps.knowledge.source_texts import ONE_OF_THEM, TEXT_OR_DOCUMENT

__all__ = [
    "answer_question",
    "converse",
    "extract_data",
    "research",
    "research_workflows",
    "review_workflows",
    "source_texts",
    "summarize_document",
]

BYTES_PER_CHARACTER = 5
"""The most that a character is in a prompt: four bytes in UTF-8, or five where it is escaped."""
CONVERSATION_BYTES = 6 * DEFAULT_MAX_TOKENS
"""What is remembered of a session: four bytes a token, of which some are escaped."""

answer_question = registry.define(
    Definition(
        type="answer_question",
        title="Answer a question",
        description="Answers a question from the tenant's knowledge base, with the sources of the answer.",
        input_schema={
            "type": "object",
            "properties": {
                "question": {"type": "string", "minLength": 3, "maxLength": 2000},
            },
            "required": ["question"],
            "additionalProperties": False,
        },
        steps=(
            StepSpec(
                key="classify",
                agent="classify_question",
                tier=Tier.FAST,
                estimated_tokens=200,
                # A question of 2,000 characters of four bytes each, and what stands around it.
                max_input_tokens=9_000,
                max_output_tokens=KIND_MAX_TOKENS,
            ),
            StepSpec(key="retrieve", agent="retrieve_passages", options={"limit": 8}),
            StepSpec(
                key="answer",
                agent="answer_question",
                needs=("classify", "retrieve"),
                estimated_tokens=2_500,
                # Eight passages with title and heading, and the question: 2,200 characters each, of four bytes; an
                # empty answer is asked for once more.
                # In a session the conversation as well.
                max_input_tokens=2 * (80_000 + CONVERSATION_BYTES),
                max_output_tokens=2 * ANSWER_MAX_TOKENS,
            ),
        ),
        result="answer",
        cache_ttl_seconds=DEFAULT_TTL_SECONDS,
        depends_on=("knowledge",),
        examples=({"question": "How do I rotate an API key?"},),
        session=SessionUse(said="question", answered="answer"),
    )
)

converse = registry.define(
    Definition(
        type="converse",
        title="Converse",
        description="Replies to a message of a conversation, in the light of what was said in it before.",
        input_schema={
            "type": "object",
            "properties": {
                "message": {"type": "string", "minLength": 1, "maxLength": MAX_MESSAGE_CHARACTERS},
            },
            "required": ["message"],
            "additionalProperties": False,
        },
        steps=(
            StepSpec(key="recall", agent="recall_session", options={"field": "message"}),
            StepSpec(
                key="reply",
                agent="converse",
                needs=("recall",),
                estimated_tokens=6_000,
                # The message, and as much of the conversation as there is room for; an empty answer is asked for again.
                max_input_tokens=2 * (BYTES_PER_CHARACTER * MAX_MESSAGE_CHARACTERS + CONVERSATION_BYTES),
                max_output_tokens=2 * REPLY_MAX_TOKENS,
            ),
        ),
        result="reply",
        examples=({"message": "My train leaves at 9:40. When should I be at the station?"},),
        session=SessionUse(said="message", answered="reply", is_required=True),
    )
)

_GROUPS = MAX_PARTS // MAX_COMBINED

summarize_document = registry.define(
    Definition(
        type="summarize_document",
        title="Summarize a document",
        description="Makes a summary of a text or a document of any length, in the style and length that is wanted.",
        input_schema={
            "type": "object",
            "properties": {
                **TEXT_OR_DOCUMENT,
                "style": {"enum": list(STYLES), "default": "paragraph"},
                "max_words": {"type": "integer", "minimum": 20, "maximum": MOST_WORDS, "default": 200},
                "focus": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 500,
                    "description": "What the reader cares about most.",
                },
            },
            "oneOf": ONE_OF_THEM,
            "additionalProperties": False,
        },
        input_checks=("document_exists",),
        steps=(
            StepSpec(key="split", agent="split_text", input_fields=("text", "document_id")),
            StepSpec(
                key="summarize",
                agent="summarize_part",
                for_each="split.parts",
                input_fields=("style", "max_words", "focus"),
                tolerates_delay=True,
                estimated_tokens=3_500,
                # An empty answer is asked for once more. A part that is the whole has the length that was asked for.
                max_input_tokens=2 * (BYTES_PER_CHARACTER * (MAX_PART_CHARACTERS + 500) + 2_000),
                max_output_tokens=2 * summary_max_tokens(MOST_WORDS),
                on_failure="skip",
            ),
            StepSpec(
                key="combine",
                agent="combine_summaries",
                needs=("summarize",),
                input_fields=("style", "max_words", "focus"),
                min_tier=Tier.BALANCED,
                estimated_tokens=6_000,
                # The longest document: its partial summaries, then a group of each MAX_COMBINED, then those of these.
                max_input_tokens=MAX_PARTS * PARTIAL_MAX_TOKENS + 2 * _GROUPS * (GROUP_MAX_TOKENS + 1_000),
                max_output_tokens=2 * _GROUPS * GROUP_MAX_TOKENS + 2 * summary_max_tokens(MOST_WORDS),
                # One call after the other, more of them the longer the document is.
                timeout_seconds=600,
            ),
        ),
        result="combine",
        cache_ttl_seconds=DEFAULT_TTL_SECONDS,
        depends_on=("knowledge",),
        allow_partial=True,
        examples=(
            {"text": "The full text of a report, an article or a contract …", "max_words": 100},
            {"document_id": "0193a1b2-0000-7000-8000-000000000000", "style": "bullets", "focus": "the risks"},
        ),
    )
)

extract_data = registry.define(
    Definition(
        type="extract_data",
        title="Extract data",
        description="Extracts data from a text or a document, as JSON that satisfies a JSON Schema.",
        input_schema={
            "type": "object",
            "properties": {
                **TEXT_OR_DOCUMENT,
                "text": {**TEXT_OR_DOCUMENT["text"], "maxLength": MAX_TEXT_CHARACTERS},
                "schema": {
                    "type": "object",
                    "description": "A JSON Schema (draft 2020-12) of an object: the data to extract.",
                },
                "instructions": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 2_000,
                    "description": "What the schema does not say.",
                },
            },
            "required": ["schema"],
            "oneOf": ONE_OF_THEM,
            "additionalProperties": False,
        },
        input_checks=("extraction_schema", "document_exists", "document_fits_one_call"),
        steps=(
            StepSpec(key="read", agent="read_text", input_fields=("text", "document_id")),
            StepSpec(
                key="extract",
                agent="extract_data",
                needs=("read",),
                input_fields=("schema", "instructions"),
                min_tier=Tier.BALANCED,
                tolerates_delay=True,
                estimated_tokens=5_000,
                # Text, instructions and schema; the second call has the first answer besides.
                max_input_tokens=2 * BYTES_PER_CHARACTER * (MAX_TEXT_CHARACTERS + 36_000)
                + EXTRACT_MAX_TOKENS,
                max_output_tokens=2 * EXTRACT_MAX_TOKENS,
                timeout_seconds=300,
            ),
        ),
        result="extract",
        cache_ttl_seconds=DEFAULT_TTL_SECONDS,
        depends_on=("knowledge",),
        examples=(
            {
                "text": "Invoice number: A-1042. Due date: 2026-12-01. Total: 129.50 EUR.",
                "schema": {
                    "type": "object",
                    "properties": {
                        "invoice_number": {"type": "string"},
                        "due_date": {"type": "string", "format": "date"},
                        "total": {"type": "number"},
                    },
                    "required": ["invoice_number", "total"],
                },
            },
        ),
    )
)
