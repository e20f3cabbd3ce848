"""What becomes of a delivery after an attempt."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agentplatform.notifications.delivery import (
    MAX_RETRY_SECONDS,
    AttemptResult,
    decide_next_step,
    delivery_policy,
    result_of_answer,
    retry_after_seconds,
)

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
POLICY = delivery_policy(5.0)


def answered(status: int, **headers: str) -> AttemptResult:
    return result_of_answer(status, headers, "no", 0.1, NOW)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(status: int) -> None:
    """Nothing is left to do, and nothing of the answer is kept."""
    result = answered(status)
    assert (result.is_delivered, result.response_excerpt) == (True, "")
    assert decide_next_step(result, POLICY, attempts=1, jitter=0.5).has_ended


@pytest.mark.parametrize("status", [100, 301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_anything_else_is_tried_again(status: int) -> None:
    """A redirect too: the owner of the endpoint may set its URL meanwhile."""
    step = decide_next_step(answered(status), POLICY, attempts=1, jitter=0.5)
    assert (step.has_ended, step.delay_seconds) == (False, 2.5)


def test_a_redirect_says_that_it_is_not_followed() -> None:
    """It is no fault of the host."""
    result = answered(302)
    assert result.error_code == "redirected"
    assert "not followed" in result.error_message
    assert not result.is_hosts


def test_gone_is_for_good() -> None:
    """410 ends a delivery at once."""
    result = answered(410)
    assert result.error_code == "gone"
    assert decide_next_step(result, POLICY, attempts=1, jitter=0.5).has_ended


def test_the_attempts_go_on_for_about_a_day() -> None:
    """Delays double from 5 s up to 5 h, each of them drawn between nothing and its ceiling."""
    steps = [decide_next_step(answered(500), POLICY, attempts=number, jitter=0.5) for number in range(1, 22)]
    assert [step.has_ended for step in steps] == [False] * 20 + [True]
    assert [step.delay_seconds for step in steps[:3]] == [2.5, 5.0, 10.0]
    assert max(step.delay_seconds for step in steps) == MAX_RETRY_SECONDS / 2
    assert 20 * 3600 < sum(step.delay_seconds for step in steps) < 25 * 3600


def test_what_the_endpoint_asks_for_is_waited() -> None:
    """No sooner than Retry-After, and no later than the longest delay."""
    for asked, waited in (("120", 120.0), ("1000000", MAX_RETRY_SECONDS)):
        result = answered(429, **{"retry-after": asked})
        assert decide_next_step(result, POLICY, attempts=1, jitter=0.0).delay_seconds == waited


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("-3", 0.0),
        ("Sun, 29 Nov 2026 12:01:00 GMT", 60.0),
        ("Sun, 29 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 29 Nov 2026 12:01:00 -0000", 60.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    """Anything else is passed over."""
    assert retry_after_seconds(value, NOW) == seconds
