"""Answers to questions: whole sentences of the passages, cited, or an honest no."""

import re

import pytest

from agentplatform.simulator.answering.composing import DOCUMENT_SILENT, PASSAGES_SILENT, compose_text
from agentplatform.simulator.answering.prompt import Passage, read_text

PASSAGES = (
    Passage(
        "1",
        "# Leases\n\nA **lease** is held by one worker. It lasts fifteen seconds and is renewed every five seconds. "
        "A worker that lost its lease changes nothing.\n\n| lease | seconds |\n|---|---|\n| lease | 15 |",
        "Leases",
    ),
    Passage(
        "2",
        "Budgets are kept per tenant. A budget never passes its cap. Money is whole micro-dollars.",
        "Budgets",
    ),
    Passage(
        "3", "The dispatcher admits steps in fair order. Weights come from the tenant's tier.", "Admission"
    ),
    Passage("4", "Hints are acknowledged on receipt, because a lost hint is sent again.", "Hints"),
)


def prompt_of(question: str, passages: tuple[Passage, ...] = PASSAGES) -> str:
    """The prompt as the platform writes it."""
    blocks = "\n".join(
        f'<passage id="{p.id}" source="d.md" heading="{p.heading}">{p.text}</passage>' for p in passages
    )
    return f"<passages>\n{blocks}\n</passages>\n<question>{question}</question>\nAnswer briefly."


def answer(question: str) -> str:
    """The answer to a question about the passages."""
    return compose_text(read_text(prompt_of(question)))


@pytest.mark.parametrize(
    ("question", "expected", "cited"),
    [
        ("How often is a lease renewed?", "renewed every five seconds", "1"),
        ("What happens to a worker that lost its lease?", "changes nothing", "1"),
        ("Can a budget pass its cap?", "A budget never passes its cap.", "2"),
        (
            "In which order does the dispatcher admit steps?",
            "The dispatcher admits steps in fair order.",
            "3",
        ),
        ("Why are hints acknowledged on receipt?", "because a lost hint is sent again", "4"),
    ],
)
def test_a_question_is_answered_by_the_sentence_that_says_it(
    question: str, expected: str, cited: str
) -> None:
    """With the passage it stands in."""
    text = answer(question)
    assert expected in text
    assert f"[{cited}]" in text


def test_every_sentence_is_whole_and_cited_and_there_are_at_most_four() -> None:
    """Whatever is asked, each part of the answer stands in its passage word for word."""
    for question in (
        "How often is a lease renewed and who holds a lease?",
        "What does a tenant have?",
        "Why hints?",
    ):
        parts = re.findall(r"(.+?) \[(\d)\](?: |$)", answer(question))
        assert 1 <= len(parts) <= 4
        for sentence, cited in parts:
            passage = next(p for p in PASSAGES if p.id == cited)
            assert sentence in passage.text.replace("**", "")
            assert sentence.endswith(".")


def test_a_sentence_that_refers_back_brings_the_one_before() -> None:
    """'It lasts' means nothing without what it is."""
    text = answer("How many seconds does it last and when is it renewed?")
    assert text.index("A lease is held by one worker.") < text.index("It lasts fifteen seconds")


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "Where is the budget airline based?",
        "Who is the tallest worker?",
        "Who won the world cup in 1998?",
        "How do I bake bread?",
        "What is Kafka?",
    ],
)
def test_an_unrelated_question_is_not_answered(question: str) -> None:
    """An honest no."""
    assert answer(question) == PASSAGES_SILENT


def test_a_name_the_passages_do_not_have_is_not_answered_with_another() -> None:
    """The budget of something else is no answer."""
    assert answer("What is the budget of Zanzibar Holdings in 2031?") == PASSAGES_SILENT


def test_tables_and_headings_are_never_quoted() -> None:
    """They are noise in an answer."""
    text = answer("How many seconds is a lease?")
    assert "|" not in text
    assert "#" not in text


def test_escaped_passages_are_read_as_they_were_written() -> None:
    """The platform escapes markup in what it quotes, and may quote attributes either way."""
    prompt = (
        "<passages><passage id='7' source='a' heading='x &quot;y&quot;'>Use a &lt; b &amp;&amp; c here.</passage>"
        "</passages><question>Where to use a and b?</question>"
    )
    assert compose_text(read_text(prompt)) == "Use a < b && c here. [7]"


def test_a_document_is_asked_without_citations() -> None:
    """There is nothing to tell apart."""
    document = "<document>The depot is in Genoa. It opens at nine.</document>"
    assert (
        compose_text(read_text(f"{document}<question>Where is the depot?</question>"))
        == "The depot is in Genoa."
    )
    assert compose_text(read_text(f"{document}<question>Who is Ada Byron?</question>")) == DOCUMENT_SILENT


def test_answers_repeat() -> None:
    """Sets have no order of their own, and no answer depends on one."""
    assert len({answer("What does a tenant have, and how is a lease renewed?") for _ in range(5)}) == 1
