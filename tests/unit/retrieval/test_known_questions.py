"""The questions by which retrieval is measured: what they call the answer stands where they say."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from agentplatform.retrieval.chunking import chunk_document
from tests.benchmarks.retrieval import CHECKOUT, known_passages, known_questions, squeezed


@pytest.mark.parametrize("question", known_questions(), ids=lambda question: question["question"][:60])
def test_the_known_answer_stands_in_a_passage(question: dict[str, Any]) -> None:
    """Under its heading, and whole, so that it can be found."""
    for place in (question, *question.get("also", ())):
        content = (CHECKOUT / place["document"]).read_text()
        passages = chunk_document(content, "text/markdown")
        holding = [passage for passage in passages if squeezed(place["answer"]) in squeezed(passage.text)]
        assert any(passage.heading.endswith(place["heading"]) for passage in holding), place


def test_there_are_as_many_of_each_kind() -> None:
    """Questions in the documents' words, in other words, and about a situation."""
    kinds = Counter(question["kind"] for question in known_questions())
    assert kinds == {"wording": 30, "paraphrase": 30, "symptom": 30}
    assert all(len(known_passages(question)) >= 1 for question in known_questions())
