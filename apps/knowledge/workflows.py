"""Definitions that work on the knowledge base."""

from agentplatform.agents.answering import ANSWER_MAX_TOKENS, KIND_MAX_TOKENS
from agentplatform.agents.registry import registry
from agentplatform.llm.tiers import Tier
from agentplatform.workflows.definition import Definition, StepSpec

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
                tier=Tier.BALANCED,
                estimated_tokens=2_500,
                # Eight passages with title and heading, and the question: 2,200 characters each, of four bytes; an
                # empty answer is asked for once more.
                max_input_tokens=2 * 80_000,
                max_output_tokens=2 * ANSWER_MAX_TOKENS,
            ),
        ),
        result="answer",
        examples=({"question": "How do I rotate an API key?"},),
    )
)
