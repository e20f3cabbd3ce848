"""The verdict on a pair: what is served, how it follows from similarity, and that nothing breaks it."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.llm.caching.verifying import DEFAULT_THRESHOLD, FLOOR_THRESHOLD, PairVerifier, Verdict


def test_the_same_words_are_served() -> None:
    """Capitals, signs, thanks and typing errors change nothing."""
    verifier = PairVerifier.load()
    for other in (
        "how do i renew my library card",
        "HOW DO I RENEW MY LIBRARY CARD?",
        "Hi, how do I renew my library card? Thanks!",
        "How do I renew my libary card?",
    ):
        assert verifier.judge("How do I renew my library card?", other, 0.93).serves()


def test_another_object_is_not_served() -> None:
    """One word swapped or put in is enough."""
    verifier = PairVerifier.load()
    for other in ("How do I renew my gym card?", "How do I renew my library gift card?"):
        assert not verifier.judge("How do I renew my library card?", other, 0.93).serves()


def test_the_probability_never_falls_with_the_similarity() -> None:
    """All else being equal."""
    verifier = PairVerifier.load()
    said = [
        verifier.judge("Can I bring a guest?", "Am I allowed to take a guest along?", step / 100).probability
        for step in range(101)
    ]
    assert said == sorted(said)
    assert said[0] < 0.5


def test_no_threshold_goes_below_the_floor() -> None:
    """An operator who asks for less gets the floor."""
    assert FLOOR_THRESHOLD < DEFAULT_THRESHOLD
    assert not Verdict(0.9, FLOOR_THRESHOLD - 0.01, None).serves(0.0)
    assert Verdict(0.9, FLOOR_THRESHOLD, None).serves(0.0)
    assert not Verdict(0.99, 0.0, "number").serves(0.0)


def test_a_number_that_only_one_names_is_not_served() -> None:
    """It narrows what is asked for, however near the vectors are."""
    judged = PairVerifier.load().judge("Can I return it?", "Can I return it after 14 days?", 0.95)
    assert not judged.serves()


def test_a_rare_word_is_not_taken_for_a_mistyped_one() -> None:
    """Substances differ by a letter or two; common words are mistyped."""
    verifier = PairVerifier.load()
    assert not verifier.judge("Is prednisone safe?", "Is prednisolone safe?", 0.9).serves()
    assert not verifier.judge("How does ethanol burn?", "How does methanol burn?", 0.9).serves()
    assert verifier.judge("Where is my account?", "Where is my acount?", 0.8).serves()


@given(st.text(max_size=300), st.text(max_size=300), st.floats())
def test_any_two_texts_get_a_verdict(a: str, b: str, similarity: float) -> None:
    """A probability for everything, and 0 where there is a veto."""
    verdict = PairVerifier.load().judge(a, b, similarity)
    assert 0 <= verdict.probability <= 1
    assert verdict.veto is None or verdict.probability == 0
    assert math.isfinite(verdict.similarity)


@pytest.mark.parametrize("words", [8, 200, 20_000])
def test_a_judgement_is_quick_whatever_the_length(words: int) -> None:
    """A long text costs no more than its beginning does, and being read."""
    text = " ".join(f"word{place % 97}x" for place in range(words))
    verifier = PairVerifier.load()
    started = time.thread_time()
    verifier.judge(text, text + " more", 0.9)
    assert time.thread_time() - started < 0.25
