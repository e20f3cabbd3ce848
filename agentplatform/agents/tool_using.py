"""The agent that answers with tools: which ones, its definition says."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from agentplatform.agents.agent import StepContext
from agentplatform.agents.registry import registry
from agentplatform.agents.tools.loop import LoopLimits, ask_with_tools

ANSWER_MAX_TOKENS = 1_000

_SYSTEM = "You answer the question. Use tools where they help, and say in the answer what it rests on."


@registry.agent("answer_with_tools")
class AnswerWithTools:
    """Output: `{"answer", "tool_calls": [{"tool", "status", "code", "note"}]}`.

    It answers `question` of the workflow's input; where there is none, that which option `question` names. Options:
    `tools` and `optional_tools` (names), `system` (in place of its own words), `max_turns`, `max_tool_tokens`, `max_answer_tokens`.
    Its answers are kept for nobody else: tools tell of the moment.
    """

    def run(self, step: StepContext) -> Any:
        options = step.options
        limits = LoopLimits()
        question = str(step.input[options.get("question", "question")])
        answer = ask_with_tools(
            step,
            f"<question>{escape(question)}</question>",
            tools=list(options.get("tools", ())),
            optional=list(options.get("optional_tools", ())),
            system=str(options.get("system", _SYSTEM)),
            max_tokens=int(options.get("max_answer_tokens", ANSWER_MAX_TOKENS)),
            limits=LoopLimits(
                int(options.get("max_turns", limits.max_turns)),
                int(options.get("max_tool_tokens", limits.max_tokens)),
            ),
        )
        return {"answer": answer.text, "tool_calls": [result.to_output() for result in answer.results]}
