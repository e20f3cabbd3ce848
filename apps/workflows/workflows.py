"""Definitions that work on nothing but their input."""

from agentplatform.agents.classifying import (
    CHUNK_CHARACTERS,
    CHUNK_MAX_TOKENS,
    ITEM_MAX_TOKENS,
    MAX_INSTRUCTIONS_CHARACTERS,
    MAX_ITEM_CHARACTERS,
    MAX_ITEMS,
    MAX_LABEL_CHARACTERS,
    MAX_LABELS,
)
from agentplatform.agents.moderating import (
    DEFAULT_MIN_CONFIDENCE,
    MAX_CATEGORIES,
    MAX_TEXT_CHARACTERS,
    VERDICT_MAX_TOKENS,
)
from agentplatform.agents.registry import registry
from agentplatform.llm.caching.policy import DEFAULT_TTL_SECONDS
from agentplatform.llm.tiers import Tier
from agentplatform.workflows.definition import Definition, StepSpec

BYTES_PER_CHARACTER = 5
"""The most that a character is in a prompt: four bytes in UTF-8, or five where it is escaped."""
_POLICY_CHARACTERS = MAX_CATEGORIES * 400
_VERDICT_INPUT_TOKENS = BYTES_PER_CHARACTER * (MAX_TEXT_CHARACTERS + _POLICY_CHARACTERS + 2_000)

moderate_content = registry.define(
    Definition(
        type="moderate_content",
        title="Moderate content",
        description="Says whether what a user wrote may be published: allow, flag or block, by a policy.",
        input_schema={
            "type": "object",
            "properties": {
                "text": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARACTERS},
                "policy": {
                    "type": "object",
                    "description": "The categories that are not wanted, each with what belongs to it.",
                    "propertyNames": {"pattern": "^[a-z][a-z0-9_]{0,62}$"},
                    "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 300},
                    "minProperties": 1,
                    "maxProperties": MAX_CATEGORIES,
                },
            },
            "required": ["text"],
            "additionalProperties": False,
        },
        steps=(
            StepSpec(
                key="screen",
                agent="moderate_content",
                tier=Tier.FAST,
                options={"min_confidence": DEFAULT_MIN_CONFIDENCE},
                tolerates_delay=True,
                estimated_tokens=800,
                max_input_tokens=_VERDICT_INPUT_TOKENS,
                max_output_tokens=VERDICT_MAX_TOKENS,
            ),
            StepSpec(
                key="decide",
                agent="moderate_content",
                needs=("screen",),
                when="screen.is_sure == `false`",
                tier=Tier.POWERFUL,
                tolerates_delay=True,
                estimated_tokens=800,
                max_input_tokens=_VERDICT_INPUT_TOKENS,
                max_output_tokens=VERDICT_MAX_TOKENS,
                on_failure="skip",
            ),
            StepSpec(
                key="conclude", agent="conclude_moderation", needs=("screen", "decide"), input_fields=()
            ),
        ),
        result="conclude",
        cache_ttl_seconds=DEFAULT_TTL_SECONDS,
        is_named_only=True,
        examples=(
            {"text": "Thank you, the tickets arrived in time for the concert."},
            {
                "text": "Write to me at home for cheap cables.",
                "policy": {"advertising": "Offers of goods or services."},
            },
        ),
    )
)

classify_items = registry.define(
    Definition(
        type="classify_items",
        title="Classify items",
        description="Gives each of thousands of short texts one label out of a list.",
        input_schema={
            "type": "object",
            "properties": {
                "labels": {
                    "type": "array",
                    "items": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": MAX_LABEL_CHARACTERS,
                        "pattern": "^[^\\n]*\\S[^\\n]*$",
                    },
                    "minItems": 2,
                    "maxItems": MAX_LABELS,
                    "uniqueItems": True,
                },
                "items": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1, "maxLength": MAX_ITEM_CHARACTERS},
                    "minItems": 1,
                    "maxItems": MAX_ITEMS,
                },
                "instructions": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_INSTRUCTIONS_CHARACTERS,
                    "description": "What the labels stand for, where their names do not say it.",
                },
            },
            "required": ["labels", "items"],
            "additionalProperties": False,
        },
        steps=(
            StepSpec(key="split", agent="split_items", input_fields=("items",)),
            StepSpec(
                key="classify",
                agent="classify_items",
                # At most four hundred, all at once: where they wait for a batch, they go with the same one.
                for_each="split.chunks",
                input_fields=("labels", "instructions"),
                tier=Tier.FAST,
                tolerates_delay=True,
                estimated_tokens=2_000,
                max_input_tokens=BYTES_PER_CHARACTER
                * (
                    CHUNK_CHARACTERS
                    + MAX_ITEM_CHARACTERS
                    + MAX_LABELS * MAX_LABEL_CHARACTERS * 2
                    + MAX_INSTRUCTIONS_CHARACTERS
                    + 3_000
                ),
                max_output_tokens=CHUNK_MAX_TOKENS,
                on_failure="skip",
                min_succeeded_percent=50,
            ),
            StepSpec(key="gaps", agent="find_unlabelled", needs=("split", "classify"), input_fields=()),
            StepSpec(
                key="again",
                agent="classify_item",
                for_each="gaps.items",
                max_concurrent=500,
                input_fields=("labels", "instructions"),
                tier=Tier.BALANCED,
                tolerates_delay=True,
                estimated_tokens=600,
                max_input_tokens=BYTES_PER_CHARACTER
                * (
                    MAX_ITEM_CHARACTERS
                    + MAX_LABELS * MAX_LABEL_CHARACTERS * 2
                    + MAX_INSTRUCTIONS_CHARACTERS
                    + 1_000
                ),
                max_output_tokens=ITEM_MAX_TOKENS,
                on_failure="skip",
            ),
            StepSpec(
                key="collect",
                agent="collect_labels",
                needs=("gaps", "classify", "again"),
                input_fields=("labels",),
            ),
        ),
        result="collect",
        cache_ttl_seconds=DEFAULT_TTL_SECONDS,
        allow_partial=True,
        examples=(
            {
                "labels": ["billing", "technical", "account", "other"],
                "items": ["I was charged twice.", "The app crashes at start.", "Where are you based?"],
            },
        ),
    )
)
