"""Two answers that say the same are told from two that do not, whatever their vectors are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.llm.caching.agreement import LEAST_SIMILARITY, compare

ALIKE = 0.99


@pytest.mark.parametrize(
    ("live", "kept"),
    [
        ("how_to", "How_to."),
        ("Yes.", "yes"),
        ("**Rotate** the key in the admin. [1]", "Rotate the key in the admin."),
        ('{"a": 1, "b": ["X"]}', '{"b": ["x"], "a": 1.0}'),
        ('```json\n{"total": 12}\n```', '{"total": 12}'),
        (
            "Keys are rotated in the admin, by the action Rotate.",
            "In the admin, the action Rotate gives a new key.",
        ),
        ("It takes 3 days, at most 5 in a leap year.", "It takes 3 days to be delivered to you."),
    ],
)
def test_answers_that_say_the_same_agree(live: str, kept: str) -> None:
    """In both directions."""
    assert compare(live, kept, ALIKE).agrees
    assert compare(kept, live, ALIKE).agrees


@pytest.mark.parametrize(
    ("live", "kept"),
    [
        ("how_to", "reference"),
        ("Yes.", "No."),
        ("It takes 3 days to be delivered.", "It takes 5 days to be delivered."),
        ("The fee is charged once the trial is over.", "The fee is not charged once the trial is over."),
        ("You can't return it after you opened it.", "You can return it after you opened it."),
        ("Do it before you restart the server, please.", "Do it after you restart the server, please."),
        ("It is enabled by default for new tenants.", "It is disabled by default for new tenants."),
        ('{"total": 12}', '{"total": 13}'),
        ('{"paid": true}', '{"paid": 1}'),
        ('{"total": 12}', "The total of this invoice is twelve."),
        ("The deadline is 30 days from the invoice.", "The deadline is soon after the invoice was sent."),
    ],
)
def test_answers_that_say_something_else_differ(live: str, kept: str) -> None:
    """However alike their vectors are."""
    assert not compare(live, kept, ALIKE).agrees
    assert not compare(kept, live, ALIKE).agrees


def test_texts_have_to_be_alike() -> None:
    """By their vectors; and without them by their words."""
    live, kept = "Lions live in the savannah of Africa.", "Tigers hunt by night in the forests of Asia."
    assert not compare(live, kept, LEAST_SIMILARITY - 0.01).agrees
    assert compare(live, kept, LEAST_SIMILARITY).agrees  # it knows nothing of lions
    assert not compare(live, kept, None).agrees
    assert compare(live, "In the savannah of Africa live lions.", None).agrees


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_two_texts_can_be_compared_in_either_order(live: str, kept: str) -> None:
    """A text agrees with itself."""
    assert compare(live, kept, 0.9).agrees == compare(kept, live, 0.9).agrees
    assert compare(live, live, None).agrees
