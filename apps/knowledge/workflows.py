"""Definitions that work on the knowledge base."""

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
            StepSpec(key="classify", agent="classify_question", tier=Tier.FAST, estimated_tokens=200),
            StepSpec(key="retrieve", agent="retrieve_passages", options={"limit": 6}),
            StepSpec(
                key="answer",
                agent="answer_question",
                needs=("classify", "retrieve"),
                tier=Tier.BALANCED,
                estimated_tokens=2500,
            ),
        ),
        result="answer",
        examples=({"question": "How do I rotate an API key?"},),
    )
)
