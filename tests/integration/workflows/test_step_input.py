"""A step gets the fields of its workflow's input that it names, and no others travel to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentplatform.execution.attempts import ClaimedStep
from apps.database import call_function, from_jsonb
from apps.workflows.models import Workflow
from tests.integration.conftest import Hand

Submit = Callable[..., Workflow]

SMALL = "x"
LARGE = "abcdefghij0123456789" * 2_000
EXPECTED = [["a"], [], ["b"], ["a", "b", "list"], ["a"], ["b"]]


def fields(step: ClaimedStep) -> list[str]:
    """The names of what it sees."""
    return sorted(step.input)


@pytest.mark.parametrize("text", [SMALL, LARGE])
def test_each_step_sees_what_it_names_when_it_is_claimed_anew(hand: Hand, submit: Submit, text: str) -> None:
    """However large the input is: what is not named is not there."""
    submit("narrow", {"a": text, "b": 2, "list": [1]})
    seen = []
    for _ in EXPECTED:
        step = hand.claim_next()
        seen.append(fields(step))
        hand.finish(step, {})
    assert seen == EXPECTED


@pytest.mark.parametrize("text", [SMALL, LARGE])
def test_each_step_sees_what_it_names_when_a_worker_goes_on_with_it(
    hand: Hand, submit: Submit, text: str
) -> None:
    """Also what the step before it did not see."""
    submit("narrow", {"a": text, "b": 2, "list": [1]})
    step: ClaimedStep | None = hand.claim_next()
    seen, values = [], []
    for _ in EXPECTED:
        assert step is not None
        seen.append(fields(step))
        values.append(step.input.get("a"))
        step = hand.finish(step, {}, may_continue=True).next_step
    assert seen == EXPECTED
    assert values == [text, None, None, text, text, None]


def test_a_claim_does_not_carry_a_large_input_that_its_step_does_not_read(hand: Hand, submit: Submit) -> None:
    """The database leaves it out, so that no worker has to hold it."""
    submit("narrow", {"a": LARGE, "b": 2, "list": []})
    hand.finish(hand.claim_next(), {})
    (hint,) = hand.admit()
    rows: list[Any] = call_function(
        "workflows_claim", [*hint, hand.name, 15.0], ["uuid", "int", "text", "float"]
    )
    claim = rows[0][0]
    assert from_jsonb(claim)["input"] == {}
    assert len(claim) < len(LARGE) / 10
