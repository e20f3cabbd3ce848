"""Plans of research and reports of several notes, in words taken from the prompt."""

from __future__ import annotations

import json

import anthropic
import pytest

from agentplatform.agents.researching import PLAN_SCHEMA
from agentplatform.simulator.answering.composing import compose_text
from agentplatform.simulator.answering.prompt import read_text
from agentplatform.simulator.answering.questions import research_questions
from tests.unit.simulator.prompts import ask

HEADINGS = """- Architecture › Leases › How long does a lease last
- Architecture › Queues and lanes
- Glossary
- Operations › Renewing a lease by hand
- Architecture › Queues and lanes"""


def test_questions_are_about_what_there_are_headings_for() -> None:
    """The innermost, those nearest to the topic first, each once; a heading that asks is asked as it is."""
    questions = research_questions("How leases are renewed", HEADINGS, 3)
    assert questions == [
        "What is known about “Renewing a lease by hand”?",
        "How long does a lease last?",
        "What is known about “Queues and lanes”?",
    ]


def test_without_headings_questions_are_about_the_topic() -> None:
    """Its telling words."""
    questions = research_questions("Leases, queues and workers", "", 3)
    assert questions == [f"What is known about “{word}”?" for word in ("leases", "queues", "workers")]


def test_a_report_has_a_section_for_each_of_the_notes() -> None:
    """Short notes stand in it as they are, with their citations; long ones are summed up."""
    long = " ".join(f"Fact number {n} is about pump {n}." for n in range(100))
    prompt = read_text(
        "<topic>Pumps &amp; valves</topic>\n<notes>\n# What is a pump?\n\nIt moves water. [2] Always. [1]\n</notes>\n"
        f"<notes>\n# Which are there?\n\n{long}\n</notes>\nWrite a report with a section for each of the notes."
    )
    report = compose_text(prompt)
    assert report.startswith(
        "# Pumps & valves\n\n## What is a pump?\n\nIt moves water. [2] Always. [1]\n\n## Which are there?\n\nFact"
    )
    assert len(report) < 1_000


@pytest.fixture
def plan(client: anthropic.Anthropic) -> list[str]:
    """The questions planned for a topic, over the SDK."""
    message = client.messages.create(
        model="claude-sonnet-5-5",
        max_tokens=500,
        messages=[
            ask(f"<topic>Leases</topic>\n<headings>\n{HEADINGS}\n</headings>\nPlan a report on the topic.")
        ],
        output_config={
            "format": {"type": "json_schema", "schema": anthropic.transform_schema(dict(PLAN_SCHEMA))}
        },
    )
    questions: list[str] = json.loads(message.content[0].text)["questions"]
    return questions


def test_a_plan_in_a_schema_has_enough_questions(plan: list[str]) -> None:
    """Three to six, none twice."""
    assert 3 <= len(plan) <= 6
    assert len(set(plan)) == len(plan)
    assert plan[0] == "How long does a lease last?"


def test_a_later_turn_reads_what_the_earlier_ones_brought(client: anthropic.Anthropic) -> None:
    """As one that asks for a correction does."""
    schema = {
        "type": "object",
        "properties": {"total": {"type": "number"}},
        "required": ["total"],
        "additionalProperties": False,
    }
    message = client.messages.create(
        model="claude-sonnet-5-5",
        max_tokens=500,
        messages=[
            ask("<document>Number 7. Total: 12.5.</document>\nExtract the data."),
            {"role": "assistant", "content": '{"total": 3}'},
            ask("total: must be at most 3,000 and at least 10. Give them again."),
        ],
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert json.loads(message.content[0].text) == {"total": 12.5}
