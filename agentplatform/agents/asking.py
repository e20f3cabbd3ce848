"""Asking a model for something that must not be empty, and saying what was not as asked for."""

from __future__ import annotations

from typing import Any

from agentplatform.agents.agent import Degradation, StepContext, StepError
from agentplatform.llm.messages import ModelResponse


def ask_for_text(
    step: StepContext,
    prompt: str,
    *,
    system: str,
    max_tokens: int,
    cut_code: str = "answer_cut",
    **more: Any,
) -> str:
    """A model's answer with at least one word; the gateway has asked the next tier where there was none.

    `more` are other fields of the request. One that reached its limit of tokens is labelled `cut_code`. Raises ModelError, or StepError `empty_answer` or
    `refused`.
    """
    response = step.complete(prompt, system=system, max_tokens=max_tokens, **more)
    if response.stop_reason == "refusal":
        raise StepError("refused", "The model refuses to answer; ask in other words.")
    if not response.text.strip():
        raise StepError("empty_answer", "The model answered with no text, asked twice; ask in other words.")
    note_cut(step, response, cut_code)
    return response.text


def note_cut(step: StepContext, response: ModelResponse, code: str) -> None:
    """Labels an answer that reached its limit of tokens."""
    if response.stop_reason == "max_tokens":
        step.degradations.append(Degradation(code, "The answer reached its limit of tokens."))
