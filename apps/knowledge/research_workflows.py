"""The definition that researches a topic."""

from agentplatform.agents.criticising import CRITIQUE_MAX_TOKENS, GOOD_SCORE
from agentplatform.agents.registry import registry
from agentplatform.agents.researching import (
    NOTES_LIMITS,
    NOTES_MAX_TOKENS,
    PLAN_MAX_TOKENS,
    REPORT_MAX_TOKENS,
)
from agentplatform.agents.tools.tool import MAX_RESULT_CHARACTERS
from agentplatform.llm.caching.policy import DEFAULT_TTL_SECONDS
from agentplatform.llm.tiers import Tier
from agentplatform.workflows.definition import Definition, StepSpec

BYTES_PER_CHARACTER = 5

_NOTES_CALLS = NOTES_LIMITS.max_turns + 1
_FOUND_BY_TOOLS = 4 * NOTES_LIMITS.max_calls_per_turn * MAX_RESULT_CHARACTERS
_REPORT_INPUT_TOKENS = 20_000
"""Six notes of NOTES_MAX_TOKENS with their questions, and the topic."""

research_report = registry.define(
    Definition(
        type="research_report",
        title="Research report",
        description="Researches a topic in the knowledge base: plans questions, takes notes, writes a report.",
        input_schema={
            "type": "object",
            "properties": {
                "topic": {"type": "string", "minLength": 3, "maxLength": 1_000},
            },
            "required": ["topic"],
            "additionalProperties": False,
        },
        steps=(
            StepSpec(key="survey", agent="survey_knowledge", options={"limit": 12}),
            StepSpec(
                key="plan",
                agent="plan_research",
                needs=("survey",),
                min_tier=Tier.BALANCED,
                estimated_tokens=1_000,
                # The topic and twelve headings; a plan that is none is asked for once more.
                max_input_tokens=2 * BYTES_PER_CHARACTER * (1_000 + 12 * 500 + 1_000),
                max_output_tokens=2 * PLAN_MAX_TOKENS,
            ),
            StepSpec(
                key="notes",
                agent="take_notes",
                for_each="plan.questions",
                options={
                    "limit": 5,
                    "tools": ["knowledge_search", "calculator"],
                    "optional_tools": ["http_fetch"],
                },
                tolerates_delay=True,
                estimated_tokens=2_500,
                # Five passages of 2,800 characters with title and heading, and the question; with what tools have
                # found, the turn that goes over their limit and the answer after it.
                max_input_tokens=NOTES_LIMITS.max_tokens
                + 2 * (BYTES_PER_CHARACTER * (5 * 2_800 + 1_000) + _FOUND_BY_TOOLS),
                max_output_tokens=_NOTES_CALLS * NOTES_MAX_TOKENS,
                on_failure="skip",
            ),
            StepSpec(
                key="draft",
                agent="write_report",
                needs=("plan", "notes"),
                min_tier=Tier.POWERFUL,
                tolerates_delay=True,
                estimated_tokens=5_000,
                max_input_tokens=2 * _REPORT_INPUT_TOKENS,
                max_output_tokens=2 * REPORT_MAX_TOKENS,
                timeout_seconds=300,
            ),
            StepSpec(
                key="critique",
                agent="critique_report",
                needs=("draft",),
                tier=Tier.BALANCED,
                tolerates_delay=True,
                estimated_tokens=2_500,
                max_input_tokens=BYTES_PER_CHARACTER * 2_000 + REPORT_MAX_TOKENS,
                max_output_tokens=CRITIQUE_MAX_TOKENS,
                on_failure="skip",
            ),
            StepSpec(
                key="revise",
                agent="revise_report",
                needs=("notes", "draft", "critique"),
                when=f"critique.score < `{GOOD_SCORE}` && critique.faults",
                min_tier=Tier.POWERFUL,
                tolerates_delay=True,
                estimated_tokens=7_000,
                # The notes again, the draft and its faults.
                max_input_tokens=2 * (_REPORT_INPUT_TOKENS + REPORT_MAX_TOKENS + 10_000),
                max_output_tokens=2 * REPORT_MAX_TOKENS,
                timeout_seconds=300,
                on_failure="skip",
            ),
            StepSpec(
                key="report",
                agent="finish_report",
                needs=("notes", "draft", "critique", "revise"),
                input_fields=(),
            ),
        ),
        result="report",
        cache_ttl_seconds=DEFAULT_TTL_SECONDS,
        depends_on=("knowledge",),
        allow_partial=True,
        examples=({"topic": "How work is kept safe when a process, a server or a provider fails"},),
    )
)
