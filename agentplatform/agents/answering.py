"""Agents that answer a question from passages: one says what kind of question it is, one answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from agentplatform.agents.agent import Degradation, StepContext, StepError
from agentplatform.agents.registry import registry
from agentplatform.llm.tiers import Tier

QUESTION_KINDS: Mapping[str, str] = {
    "how_to": "Answer as short steps that can be followed.",
    "reference": "Answer with the exact names and values.",
    "explanation": "Explain in a few sentences.",
}
ANSWER_MAX_TOKENS = 700
KIND_MAX_TOKENS = 10

_ANSWER_SYSTEM = (
    "You answer questions from the passages given, and from nothing else. Cite the passages you used by their "
    "number in square brackets. When the passages do not say, say so."
)


@registry.agent("classify_question")
class ClassifyQuestion:
    """Output: `{"kind": …}`, one of QUESTION_KINDS."""

    def run(self, step: StepContext) -> Any:
        labels = ", ".join(QUESTION_KINDS)
        prompt = (
            f"<question>{escape(step.input['question'])}</question>\n<labels>{labels}</labels>\n"
            "Reply with exactly one of the labels: the kind of answer this question asks for."
        )
        response = step.complete(prompt, max_tokens=KIND_MAX_TOKENS, tier=Tier.FAST)
        kind = response.text.strip().strip(".").lower()
        return {"kind": kind if kind in QUESTION_KINDS else "explanation"}


@registry.agent("answer_question")
class AnswerQuestion:
    """Output: `{"answer", "sources": [{"title", "heading", "document_id", "passage"}]}`, from the passages found."""

    def run(self, step: StepContext) -> Any:
        passages: Sequence[Mapping[str, Any]] = (step.needs["retrieve"] or {}).get("passages", [])
        if not passages:
            step.degradations.append(
                Degradation("no_passages", "No passage of the knowledge base matches the question.")
            )
            return {"answer": "The knowledge base says nothing about this question.", "sources": []}
        kind = (step.needs["classify"] or {}).get("kind", "explanation")
        prompt = _prompt(step.input["question"], passages, QUESTION_KINDS[kind])
        response = step.complete(prompt, system=_ANSWER_SYSTEM, max_tokens=ANSWER_MAX_TOKENS)
        if not response.text.strip():
            # A new request: the same one would be replayed, empty as it is, on every attempt.
            again = f"{prompt}\nAnswer with at least one sentence."
            response = step.complete(again, system=_ANSWER_SYSTEM, max_tokens=ANSWER_MAX_TOKENS)
        if not response.text.strip():
            raise StepError("empty_answer", "The model answered twice with no text; ask in other words.")
        if response.stop_reason == "max_tokens":
            step.degradations.append(Degradation("answer_cut", "The answer reached its limit of tokens."))
        return {"answer": response.text, "sources": _sources(response.text, passages)}


def _prompt(question: str, passages: Sequence[Mapping[str, Any]], manner: str) -> str:
    blocks = "\n".join(
        f'<passage id="{number}" source={quoteattr(passage["title"])} '
        f"heading={quoteattr(passage['heading'])}>{escape(passage['text'])}</passage>"
        for number, passage in enumerate(passages, start=1)
    )
    return f"<passages>\n{blocks}\n</passages>\n<question>{escape(question)}</question>\n{manner}"


def _sources(answer: str, passages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The passages that the answer cites as [n]; all of them when it cites none."""
    cited = [n for n in range(1, len(passages) + 1) if f"[{n}]" in answer]
    numbers = cited or range(1, len(passages) + 1)
    return [
        {
            "passage": number,
            "title": passages[number - 1]["title"],
            "heading": passages[number - 1]["heading"],
            "document_id": passages[number - 1]["document_id"],
        }
        for number in numbers
    ]
