"""The definition that reviews a document."""

from agentplatform.agents.extracting import MAX_TEXT_CHARACTERS
from agentplatform.agents.registry import registry
from agentplatform.agents.reviewing import ASPECT_MAX_TOKENS, ASPECTS, REVIEW_MAX_TOKENS
from agentplatform.llm.tiers import Tier
from agentplatform.workflows.definition import Definition, StepSpec
from apps.knowledge.source_texts import ONE_OF_THEM, TEXT_OR_DOCUMENT

BYTES_PER_CHARACTER = 5
DAY_SECONDS = 86_400

_SPECIALISTS = tuple(
    StepSpec(
        key=aspect,
        agent="review_aspect",
        needs=("read",),
        options={"aspect": aspect},
        input_fields=("focus",),
        min_tier=Tier.BALANCED,
        tolerates_delay=True,
        estimated_tokens=4_000,
        # An answer that is none is asked for once more.
        max_input_tokens=2 * BYTES_PER_CHARACTER * (MAX_TEXT_CHARACTERS + 2_000),
        max_output_tokens=2 * ASPECT_MAX_TOKENS,
        on_failure="skip",
        timeout_seconds=300,
    )
    for aspect in ASPECTS
)

review_document = registry.define(
    Definition(
        type="review_document",
        title="Review a document",
        description="Has specialists review a text or a document, puts their findings together, and asks for approval.",
        input_schema={
            "type": "object",
            "properties": {
                **TEXT_OR_DOCUMENT,
                "text": {**TEXT_OR_DOCUMENT["text"], "maxLength": MAX_TEXT_CHARACTERS},
                "focus": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 500,
                    "description": "What matters most.",
                },
            },
            "oneOf": ONE_OF_THEM,
            "additionalProperties": False,
        },
        input_checks=("document_exists", "document_fits_one_call"),
        steps=(
            StepSpec(key="read", agent="read_text", input_fields=("text", "document_id")),
            *_SPECIALISTS,
            StepSpec(
                key="synthesise",
                agent="combine_review",
                needs=tuple(ASPECTS),
                input_fields=("focus",),
                min_tier=Tier.BALANCED,
                estimated_tokens=4_000,
                max_input_tokens=2 * (len(ASPECTS) * ASPECT_MAX_TOKENS + 10_000),
                max_output_tokens=2 * REVIEW_MAX_TOKENS,
                timeout_seconds=300,
            ),
            StepSpec(
                key="approve",
                agent="ask_approval",
                needs=("synthesise",),
                input_fields=(),
                options={
                    "approval": {"title": "Release the review of the document?"},
                    "expires_in_seconds": DAY_SECONDS,
                },
            ),
            StepSpec(
                key="conclude", agent="conclude_review", needs=("synthesise", "approve"), input_fields=()
            ),
        ),
        result="conclude",
        allow_partial=True,
        is_named_only=True,
        # A day to review it, in whatever queue, and one to approve it.
        deadline_seconds=2 * DAY_SECONDS,
        examples=(
            {
                "text": "The full text of a contract, a report or an article …",
                "focus": "what the supplier has promised",
            },
        ),
    )
)
