"""Summaries, labels and plain requests."""

import pytest

from agentplatform.simulator.answering.composing import compose_text
from agentplatform.simulator.answering.labels import best_label
from agentplatform.simulator.answering.prompt import read_text
from agentplatform.simulator.answering.sentences import sentences_of, split_sentences

REPORT = """# Third quarter

Acme grew its revenue to four million dollars in the third quarter. Growth came from the subscription product.
Customers stayed longer than before. Costs rose because Acme opened an office in Berlin.
The board expects a slower fourth quarter. Revenue from subscriptions is now larger than all other revenue.
The canteen has a new cook. Figures will be published in March."""


def summary(ask: str) -> list[str]:
    """The sentences of a summary of the report."""
    return split_sentences(compose_text(read_text(f"{ask}\n<document>{REPORT}</document>")))


@pytest.mark.parametrize(
    ("ask", "count"),
    [
        ("Summarise the document in 2 sentences.", 2),
        ("Summarise this in one sentence.", 1),
        ("Summarize in exactly four short sentences, please.", 4),
        ("Give me a brief summary.", 2),
        ("Summarise the document.", 3),
        ("Write a detailed summary.", 5),
    ],
)
def test_a_summary_has_the_length_that_was_asked_for(ask: str, count: int) -> None:
    """In whole sentences of the document, in its order."""
    chosen = summary(ask)
    assert len(chosen) == count
    positions = [REPORT.replace("\n", " ").index(sentence) for sentence in chosen]
    assert positions == sorted(positions)


def test_a_summary_is_about_what_the_document_is_about() -> None:
    """Not about the cook."""
    text = " ".join(summary("Summarise the document in 2 sentences."))
    assert "revenue" in text.lower()
    assert "canteen" not in text


def test_a_summary_keeps_to_a_number_of_words() -> None:
    """As far as whole sentences allow."""
    assert len(" ".join(summary("Summarise in at most 25 words.")).split()) <= 25


def test_bullets_are_given_where_asked() -> None:
    """One sentence each."""
    lines = compose_text(read_text(f"List three bullet points.\n<document>{REPORT}</document>")).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("- ") for line in lines)


def test_a_summary_without_tags_is_made_of_what_follows_the_request() -> None:
    """The first paragraph asks."""
    text = compose_text(read_text(f"Summarise the following in one sentence:\n\n{REPORT}"))
    assert text in REPORT.replace("\n", " ")


def test_passages_are_summarised_with_citations() -> None:
    """When the question asks for the whole of them."""
    prompt = (
        f'<passages><passage id="9" heading="">{REPORT}</passage></passages><question>Summarise.</question>'
    )
    assert compose_text(read_text(prompt)).count("[9]") == 3


def test_a_request_with_nothing_to_answer_from_is_told_so() -> None:
    """It names the request and claims nothing."""
    text = compose_text(read_text("Write a haiku about autumn"))
    assert "Write a haiku about autumn" in text
    assert "Nothing was given" in text


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("My card was charged twice for the invoice", ["billing", "technical", "other"], "billing"),
        ("The app crashes when I log in", ["billing", "technical", "other"], "technical"),
        ("Compare Postgres and Redis", ["answer_question", "compare_items"], "compare_items"),
        ("How do I rotate a key?", ["how_to", "reference", "explanation"], "how_to"),
        ("Why is a hint acknowledged?", ["how_to", "reference", "explanation"], "explanation"),
        ("Which statuses are there?", ["how_to", "reference", "explanation"], "reference"),
        ("I love it", ["positive", "negative"], "positive"),
        ("Parcel is late", ["shipping: parcels, delivery, late", "returns: money back"], "shipping"),
        ("zzz", ["alpha", "beta", "other"], "other"),
    ],
)
def test_the_label_that_fits_best_is_chosen(text: str, labels: list[str], expected: str) -> None:
    """By shared words, cues, the form of a question, or the catch-all."""
    assert best_label(text, labels) == expected


def test_labels_are_read_from_lines_with_descriptions() -> None:
    """Commas within a description are not separators."""
    prompt = "<labels>\n- shipping: parcels, delivery\n- returns: money back, refunds\n</labels>"
    assert read_text(prompt).labels == ("shipping: parcels, delivery", "returns: money back, refunds")
    assert compose_text(read_text(f"<question>I want my money back</question>{prompt}")) == "returns"


def test_tags_are_told_apart_from_the_text_around_them() -> None:
    """Unknown tags hold documents; an unclosed one is text."""
    prompt = read_text("Do this. <notes>First. Second.</notes> And <that. <b>x")
    assert prompt.documents == ("First. Second.",)
    assert prompt.instruction == "Do this.  And <that. <b>x"
    assert len(sentences_of(prompt.material)) == 2
