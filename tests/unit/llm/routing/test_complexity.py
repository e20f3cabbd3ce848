"""The scorer that ships: bounds, order, speed, and what it says of requests unlike those it has learned from."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentplatform.llm.routing.complexity import ComplexityScorer, RoutingInput
from agentplatform.llm.routing.learned import SHIPPED, RouterFileError, load_learned
from agentplatform.llm.routing.limits import tier_within
from agentplatform.llm.tiers import Tier

GREETING = "Hello! How are you today?"
PROOF = (
    "Prove that the fundamental group of the torus is isomorphic to Z x Z, and derive from the theorem of Seifert and "
    "van Kampen that the fundamental group of the Klein bottle is not abelian."
)
ADDITION = "Tom has 3 apples and buys 2 more. How many apples does he have?"
CHAIN = (
    "A shop sells pens at $1.20 each and notebooks at 3 times that price. Anna buys 12 pens and half as many notebooks, "
    "gets 15% off the total, pays with four $20 bills, and gives a third of her change to each of her 2 brothers. How "
    "much money does she have left, if she then spends $1.50 more than the price of 2 notebooks?"
)
CHOICE = "What is the capital of France?\nA. Paris\nB. Rome\nC. Berlin\nD. Madrid\nAnswer:"


@pytest.fixture(scope="module")
def scorer() -> ComplexityScorer:
    return ComplexityScorer.load()


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=400),
    use_case=st.sampled_from(["", "coding", "classification", "something else"]),
    tool_count=st.integers(0, 200),
    has_output_schema=st.booleans(),
    max_tokens=st.integers(0, 200_000),
)
def test_any_request_has_a_complexity_between_0_and_1(
    text: str, use_case: str, tool_count: int, has_output_schema: bool, max_tokens: int
) -> None:
    """Whatever is asked, the value is a number within bounds, twice the same, and its reason is one sentence."""
    asked = RoutingInput(text, use_case, tool_count, has_output_schema, max_tokens)
    first, second = (ComplexityScorer.load().score(asked) for _ in range(2))
    assert 0 <= first.value <= 1
    assert first == second
    assert first.reason.endswith(".")


def test_a_proof_is_harder_than_a_greeting(scorer: ComplexityScorer) -> None:
    """Neither resembles the rows learned from; the rules put them in the right order, and in different tiers."""
    greeting, proof = scorer.score(RoutingInput(GREETING)), scorer.score(RoutingInput(PROOF))
    assert not greeting.is_familiar
    assert not proof.is_familiar
    assert tier_within(greeting.value) == Tier.FAST
    assert tier_within(proof.value) != Tier.FAST


def test_a_problem_of_many_steps_is_harder_than_an_addition(scorer: ComplexityScorer) -> None:
    """Word problems are familiar; the one with more numbers and conditions comes later."""
    addition, chain = scorer.score(RoutingInput(ADDITION)), scorer.score(RoutingInput(CHAIN))
    assert chain.value > addition.value + 0.2


def test_a_question_with_options_is_familiar(scorer: ComplexityScorer) -> None:
    """Multiple choice is most of what was learned from."""
    assert scorer.score(RoutingInput(CHOICE)).is_familiar


@pytest.mark.parametrize(
    "text",
    [
        "",
        "你好，请帮我写一首诗",
        "Translate 'good morning' to French.",
        "x" * 3_000,
        "Anna met Berta because _ was in town.\nA) Anna\nB) Berta",
    ],
)
def test_a_request_unlike_those_learned_from_is_judged_by_rules(scorer: ComplexityScorer, text: str) -> None:
    """Other forms, languages and lengths are not trusted to the trees."""
    complexity = scorer.score(RoutingInput(text))
    assert not complexity.is_familiar
    assert "rules" in complexity.reason


def test_longer_requests_of_the_same_kind_are_not_easier_by_the_rules(scorer: ComplexityScorer) -> None:
    """Outside of what was learned the value grows with the length."""
    sentence = "Please look at the garden and tell me about its flowers. "
    values = [scorer.score(RoutingInput(sentence * times)).value for times in (1, 4, 16, 64, 1_024)]
    assert values == sorted(values)
    assert values[-1] > values[0] + 0.3


@pytest.mark.parametrize("text", [GREETING, ADDITION, CHOICE])
def test_declared_circumstances_move_the_value(scorer: ComplexityScorer, text: str) -> None:
    """Tools, an output schema, a long answer and a hard use case raise it; an easy use case lowers it."""
    plain = scorer.score(RoutingInput(text)).value
    for harder in (
        RoutingInput(text, tool_count=4),
        RoutingInput(text, has_output_schema=True),
        RoutingInput(text, max_tokens=32_000),
        RoutingInput(text, use_case="Coding"),
    ):
        assert scorer.score(harder).value > plain
    assert scorer.score(RoutingInput(text, use_case="classification")).value < plain


def test_the_reason_quotes_nothing(scorer: ComplexityScorer) -> None:
    """A prompt's words may be secret, so a reason names features alone."""
    for text in ("Zanzibar xylophone secret", PROOF, CHOICE.replace("Paris", "Zanzibar")):
        reason = scorer.score(RoutingInput(text)).reason
        assert "Zanzibar" not in reason
        assert "Klein" not in reason


def test_a_request_takes_at_most_5_ms(scorer: ComplexityScorer) -> None:
    """At the 95th percentile over requests of all kinds; CPU time, so that a busy machine fails nothing."""
    texts = [GREETING, PROOF, ADDITION, CHAIN, CHOICE, CHOICE.replace("capital", "capital or " * 40)] * 20
    taken = []
    for text in texts:
        started = time.thread_time()
        scorer.score(RoutingInput(text))
        taken.append(time.thread_time() - started)
    assert np.quantile(taken, 0.95) < 0.005


@pytest.mark.parametrize(
    "unit", ["a", "word ", " ", "; ", "1,", "A. x\n", "$", "e" * 50 + " ", "n't ", "_", "(", "\\a"]
)
def test_a_megabyte_stays_cheap(scorer: ComplexityScorer, unit: str) -> None:
    """No text of a million characters, however made, takes more than a few times an ordinary one."""
    text = unit * (1_000_000 // len(unit))
    started = time.thread_time()
    scorer.score(RoutingInput(text))
    assert time.thread_time() - started < 0.05


def test_threads_share_a_scorer(scorer: ComplexityScorer) -> None:
    """Scores do not depend on who else is scoring."""
    texts = [f"{ADDITION} {place}" for place in range(60)]
    alone = [scorer.score(RoutingInput(text)) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: scorer.score(RoutingInput(text)), texts))
    assert together == alone


def test_the_file_is_small_and_holds_no_pickle() -> None:
    """Under 2 MB, and every array is read with pickle forbidden."""
    assert SHIPPED.stat().st_size < 2_000_000
    with np.load(SHIPPED, allow_pickle=False) as stored:
        assert all(stored[name].dtype.kind in "iuf" for name in stored.files)


def test_a_broken_file_is_said_to_be_broken(tmp_path: Path) -> None:
    """A missing, cut, or foreign file is refused with what to do."""
    cut = tmp_path / "cut.npz"
    cut.write_bytes(SHIPPED.read_bytes()[:5_000])
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, format=np.array(1))
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, format=np.array([{}], dtype=object))
    for path in (tmp_path / "missing.npz", cut, foreign, pickled):
        with pytest.raises(RouterFileError, match="make train-router"):
            load_learned(path)
