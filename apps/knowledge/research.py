"""Agents that research a topic in the knowledge base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agentplatform.agents.agent import StepContext, StepError
from agentplatform.agents.registry import registry
from agentplatform.agents.researching import take_notes
from agentplatform.llm.caching.policy import Caching
from apps.knowledge.agents import RetrievePassages


@registry.agent("survey_knowledge")
class SurveyKnowledge:
    """Output: `{"headings": [text]}`: what the knowledge base has on the topic. Option `limit`, default 6.

    Raises StepError `nothing_found` when it has nothing, so that nothing is spent on it.
    """

    caching = Caching.EXACT

    def run(self, step: StepContext) -> Any:
        passages = _passages(step, step.input["topic"])
        if not passages:
            raise StepError(
                "nothing_found", "The knowledge base has nothing on the topic; add documents on it first."
            )
        headings = (passage["heading"] or passage["title"] for passage in passages)
        return {"headings": list(dict.fromkeys(headings))}


@registry.agent("take_notes")
class TakeNotes:
    """Output: `{"question", "notes", "sources"}` on its element, a question. Option `limit`, default 6."""

    caching = Caching.EXACT

    def run(self, step: StepContext) -> Any:
        return take_notes(step, step.item, _passages(step, step.item))


def _passages(step: StepContext, question: str) -> Sequence[Mapping[str, Any]]:
    """What the retrieving agent finds on a question that is not the input's."""
    found: Sequence[Mapping[str, Any]] = RetrievePassages().run(replace(step, input={"question": question}))[
        "passages"
    ]
    return found
