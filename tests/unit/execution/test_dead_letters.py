"""Why steps give up, and which failures are one and the same."""

from __future__ import annotations

import pytest

from agentplatform.agents.agent import StepError
from agentplatform.execution.dead_letters import Reason, fingerprint_of, given_up_because
from agentplatform.execution.outcomes import failure_of
from agentplatform.execution.retry import WORKER_LOST, Failure, RetryPolicy

POLICY = RetryPolicy(max_attempts=3, max_lost_workers=2)
PASSING = Failure("busy", "It is busy.", transient=True)
LOST = Failure(WORKER_LOST, "Its worker was lost.", transient=True)


@pytest.mark.parametrize(
    ("failure", "attempt", "lost_workers", "reason"),
    [
        (PASSING, 3, 0, Reason.EXHAUSTED),
        (PASSING, 4, 1, Reason.EXHAUSTED),
        (PASSING, 3, 1, Reason.OUT_OF_TIME),
        (Failure("bad", "It is bad.", transient=False), 1, 0, Reason.PERMANENT),
        (LOST, 2, 2, Reason.POISON),
        (LOST, 1, 1, Reason.OUT_OF_TIME),
    ],
)
def test_why_a_step_gave_up(failure: Failure, attempt: int, lost_workers: int, reason: Reason) -> None:
    """Lost workers and failures are counted apart."""
    assert given_up_because(POLICY, failure, attempt=attempt, lost_workers=lost_workers) is reason


def raised(depth: int = 0, text: str = "No.") -> Failure:
    """The failure of an exception from some frames below."""

    def raise_it(left: int) -> None:
        if left:
            raise_it(left - 1)
        raise ValueError(text)

    try:
        raise_it(depth)
    except ValueError as error:
        return failure_of(error)
    raise AssertionError


def test_the_same_failure_has_the_same_fingerprint() -> None:
    """Whatever its text, its line numbers and the folder it is installed in."""
    one, two = raised(text="order 17"), raised(text="order 18")
    assert fingerprint_of(one, "agent") == fingerprint_of(two, "agent")
    moved = one.traceback.replace(", line ", ", line 9").replace("/tests/", "/somewhere/else/tests/")
    assert fingerprint_of(
        Failure(one.code, "", True, None, moved, one.error_class), "agent"
    ) == fingerprint_of(one, "agent")


def test_failures_that_differ_have_fingerprints_of_their_own() -> None:
    """By agent, code, class, and the way that led to them."""
    one = raised()
    prints = {
        fingerprint_of(one, "agent"),
        fingerprint_of(one, "other"),
        fingerprint_of(raised(depth=1), "agent"),
        fingerprint_of(Failure("code", one.message, True, None, one.traceback, one.error_class), "agent"),
        fingerprint_of(Failure(one.code, one.message, True, None, one.traceback, "KeyError"), "agent"),
    }
    assert len(prints) == 5


def test_without_a_traceback_the_message_counts_but_not_what_varies_in_it() -> None:
    """Numbers, ids and what is quoted."""
    messages = [
        "Order 17 of 'acme' at 0x7f01 is not there (019afc2e-1111-7222-8333-444455556666).",
        "Order 18 of 'globex' at 0x7f02 is not there (019afc2e-1111-7222-8333-777755556666).",
        "Invoice 18 of 'globex' at 0x7f02 is not there (019afc2e-1111-7222-8333-777755556666).",
    ]
    first, second, third = (fingerprint_of(Failure("x", message, False), "agent") for message in messages)
    assert first == second != third


def test_a_traceback_is_kept_without_text_and_bounded() -> None:
    """The frames and the class: an exception's text may quote a prompt, and a recursion goes deep."""
    failure = raised(depth=400, text="the secret prompt")
    assert "secret" not in failure.traceback + failure.message
    assert failure.traceback.endswith("builtins.ValueError")
    assert failure.traceback.count("raise_it") <= 2 * 50
    assert "frames" in failure.traceback
    assert failure_of(StepError("c", "m")).error_class == "agentplatform.agents.agent.StepError"
