"""What rules out that one answer serves two questions, and what does not."""

from __future__ import annotations

import pytest

from agentplatform.llm.caching.verifying import PairVerifier

SIMILAR = 0.97


def veto_of(a: str, b: str) -> str | None:
    """The veto of a pair and of the same pair the other way round, which must be equal."""
    verifier = PairVerifier.load()
    veto = verifier.judge(a, b, SIMILAR).veto
    assert verifier.judge(b, a, SIMILAR).veto == veto
    return veto


@pytest.mark.parametrize(
    ("a", "b", "veto"),
    [
        ("Can I return it after 14 days?", "Can I return it after 40 days?", "number"),
        ("A table for two at the window", "A table for 3 at the window", "number"),
        ("Track parcel AB12345", "Track parcel AB12354", "code"),
        ("How do I sort in C?", "How do I sort in C++?", "code"),
        ("What is due on 3/4?", "What is due on 4/3?", "code"),
        ("Write to ann@example.org", "Write to bob@example.org", "code"),
        ("Keep rows where a > b", "Keep rows where a < b", "code"),
        ("What is 7 + 3?", "What is 7 * 3?", "code"),
        ("Does it live at -5 degrees?", "Does it live at 5 degrees?", "number"),
        ("A table for four at 8", "A table for eight at 4", "number"),
        ("Rules of priority one tickets", "Rules of priority two tickets", "number"),
        ("Is a 5 kg bag free?", "Is a 5 lb bag free?", "unit"),
        ("What do 100 dollars buy?", "What do 100 euros buy?", "unit"),
        ("Are you open on Monday?", "Are you open on Tuesday?", "date"),
        ("Can I come at 7pm?", "Can I come at 7am?", "date"),
        ("What was my bill in May?", "What was my bill in June?", "date"),
        ("Is the fee refundable?", "Is the fee not refundable?", "negation"),
        ("Is the fee refundable?", "Is the fee non-refundable?", "negation"),
        ("Is this mushroom edible?", "Is this mushroom inedible?", "negation"),
        ("Why does the pump start?", "Why doesn't the pump start?", "negation"),
        ("How do I enable alerts?", "How do I disable alerts?", "opposite"),
        ("How do I switch on alerts?", "How do I turn off alerts?", "opposite"),
        ("Which plan is cheapest with roaming?", "Which plan is cheapest without roaming?", "negation"),
        ("Do I pay tax on orders over £50?", "Do I pay tax on orders under £50?", "opposite"),
        ("What is the capital of Peru?", "What is the capital of Chile?", "entity"),
        ("Please call Ludmilla about it", "Please call Gunhild about it", "entity"),
        ("How do I see my payslip?", "How do I see my colleague's payslip?", "scope"),
        ("What's the fee for my account?", "What's the fee for my joint account?", "scope"),
        ("Why do cats purr?", "How do cats purr?", "question"),
        ("When does the pool open?", "Does the pool open?", "question"),
        ("What is my name?", "What is your name?", "person"),
        ("Can you call me Max?", "Can I call you Max?", "person"),
        ("Who was the chair of the board?", "Who is the chair of the board?", "tense"),
        ("Was the supplier praised by the firm?", "Did the supplier praise the firm?", "order"),
        ("I move from Alphabank to Betabank", "I go to Alphabank from Betabank", "order"),
        ("When does the train leave?", "Where does the train leave?", "question"),
        ("How do I convert a PDF to a spreadsheet?", "How do I convert a spreadsheet to a PDF?", "order"),
        ("How far is it from Lima to Quito?", "How far is it from Quito to Lima?", "order"),
        ("Can dogs eat rabbits?", "Can rabbits eat dogs?", "order"),
        ("Are trains faster than buses?", "Are buses faster than trains?", "order"),
    ],
)
def test_what_must_agree_is_vetoed_where_it_does_not(a: str, b: str, veto: str) -> None:
    """Whatever the vectors say."""
    assert veto_of(a, b) == veto


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("A table for two, please", "A table for 2"),
        ("Can I pay within 24 hours?", "Can I pay within 1 day?"),
        ("Is 1,000 g the limit?", "Is 1 kg the limit?"),
        ("Can I come at 7pm?", "Can I come at 19:00?"),
        ("Is the shop open on Sunday?", "Is the shop open on Sundays?"),
        ("What does it cost in Sept?", "What does it cost in September?"),
        ("Does it cost $50?", "Does it cost 50 dollars?"),
        ("I can't log in", "I cannot login"),
        ("How do I find my code?", "How do you find your code?"),
        ("whats my limit", "What's my limit?"),
        ("Who rules in the United States?", "Who rules in the US?"),
        ("At the hotel, is there a pool?", "Is there a pool at the hotel?"),
        ("What is Mary's number?", "What is the number of Mary?"),
        ("Flights from Lima to Quito", "Flights to Quito from Lima"),
        ("What is the difference between tea and coffee?", "What is the difference between coffee and tea?"),
        ("WHERE IS THE EXIT IN BERLIN?", "Where is the exit in Berlin?"),
    ],
)
def test_what_is_said_in_another_way_is_not_vetoed(a: str, b: str) -> None:
    """Numbers in words, units of the same kind, contractions, clauses in front."""
    assert veto_of(a, b) is None


def test_what_was_not_read_of_a_long_text_must_be_equal() -> None:
    """Words behind the limit could be anything."""
    text = "Please check this list of goods: " + " ".join(["paper"] * 130)
    assert veto_of(text, text.upper()) is None
    assert veto_of(text, text + " and ink") == "length"
