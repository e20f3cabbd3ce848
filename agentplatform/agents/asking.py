"""Asking a model for something that must not be empty, and saying what was not as asked for."""

from __future__ import annotations

from agentplatform.agents.agent import Degradation, StepContext, StepError
from agentplatform.llm.messages import ModelResponse

CALLS_OF_ASK_FOR_TEXT = 2
"""How many calls `ask_for_text` makes at most."""


def ask_for_text(
    step: StepContext, prompt: str, *, system: str, max_tokens: int, cut_code: str = "answer_cut"
) -> str:
    """A model's answer with at least one word. An empty one is asked for once more.

    One that reached its limit of tokens is labelled `cut_code`. Raises ModelError, or StepError `empty_answer`.
    """
    response = step.complete(prompt, system=system, max_tokens=max_tokens)
    if not response.text.strip():
        # A new request: the same one would be replayed, empty as it is, on every attempt.
        again = f"{prompt}\nAnswer with at least one sentence."
        response = step.complete(again, system=system, max_tokens=max_tokens)
    if not response.text.strip():
        raise StepError("empty_answer", "The model answered twice with no text; ask in other words.")
    note_cut(step, response, cut_code)
    return response.text


def note_cut(step: StepContext, response: ModelResponse, code: str) -> None:
    """Labels an answer that reached its limit of tokens."""
    if response.stop_reason == "max_tokens":
        step.degradations.append(Degradation(code, "The answer reached its limit of tokens."))
