"""Which requests are like those learned from."""

from __future__ import annotations

import numpy as np
import pytest

from agentplatform.llm.routing.familiarity import ROWS_OF_A_FORM, Form, form_of, learn_familiarity
from agentplatform.llm.routing.structure import take_apart

WIDTH = 40


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Hello!", Form.PLAIN),
        ("Tell me about the year 1848.", Form.PLAIN),
        ("Tom has 3 apples and 4 pears. How many?", Form.PROBLEM),
        ("Who sold it?\nA) Anna\nB) Berta", Form.PAIR),
        ("Which?\nA. 1\nB. 2\nC. 3\nAnswer:", Form.CHOICE),
        ("A. Only one option, 1 of 1", Form.PROBLEM),
    ],
)
def test_a_request_has_a_form(text: str, form: Form) -> None:
    """By its options and its numbers."""
    assert form_of(take_apart(text)) == form


def test_trust_ends_away_from_the_rows_of_the_form() -> None:
    """Rows like those learned from are trusted, rows from elsewhere are not, whichever way they differ."""
    random = np.random.default_rng(2)
    rows = random.normal(size=(1_000, WIDTH)).astype(np.float32)
    rows[:, -1] = 1.0
    familiarity = learn_familiarity(rows, [Form.CHOICE] * len(rows))
    shares = [familiarity.share(row, Form.CHOICE) for row in random.permutation(rows)[:200]]
    assert np.mean([share == 1 for share in shares]) > 0.9
    shifted = rows[:50] + np.float32(4)
    assert max(familiarity.share(row, Form.CHOICE) for row in shifted) == 0


def test_a_form_with_few_rows_is_never_trusted() -> None:
    """One row short of enough, even a row that was learned from is left to the rules."""
    rows = np.random.default_rng(3).normal(size=(ROWS_OF_A_FORM, WIDTH)).astype(np.float32)
    forms = [Form.PAIR] * (ROWS_OF_A_FORM - 1) + [Form.PLAIN]
    few = learn_familiarity(rows, forms)
    assert few.share(rows[0], Form.PAIR) == 0
    enough = learn_familiarity(rows, [Form.PAIR] * ROWS_OF_A_FORM)
    assert enough.share(rows.mean(axis=0), Form.PAIR) == 1
