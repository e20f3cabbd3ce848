"""The retry decision, as a table."""

from __future__ import annotations

import pytest

from agentplatform.execution.retry import WORKER_LOST, Failure, RetryPolicy, retry_delay_seconds

POLICY = RetryPolicy(max_attempts=3, base_backoff_seconds=2.0, max_backoff_seconds=10.0)


@pytest.mark.parametrize(
    ("transient", "retry_after", "attempt", "seconds_left", "jitter", "delay"),
    [
        (True, None, 1, 100, 0.5, 1.0),  # half of the base
        (True, None, 2, 100, 0.5, 2.0),  # half of twice the base
        (True, None, 1, 100, 0.0, 0.0),  # full jitter reaches down to nothing
        (True, None, 3, 100, 0.5, None),  # the last attempt was the third
        (False, None, 1, 100, 0.5, None),  # a permanent failure is not tried again
        (True, 7.0, 1, 100, 0.5, 7.0),  # the provider asked for more
        (True, 0.1, 1, 100, 0.5, 1.0),  # the provider asked for less
        (True, 3600.0, 1, 100, 0.5, 10.0),  # one header parks nobody for an hour
        (True, None, 1, 0.5, 0.5, None),  # it could not start before the deadline
    ],
)
def test_when_a_failed_step_is_tried_again(
    transient: bool,
    retry_after: float | None,
    attempt: int,
    seconds_left: float,
    jitter: float,
    delay: float | None,
) -> None:
    """Backoff, cap, attempts, retry-after and deadline each have their say."""
    failure = Failure("code", "message", transient, retry_after)
    decided = retry_delay_seconds(POLICY, failure, attempt=attempt, seconds_left=seconds_left, jitter=jitter)
    assert decided == delay


def test_backoff_never_exceeds_its_cap() -> None:
    """However often a step has been tried."""
    policy = RetryPolicy(max_attempts=5_000, base_backoff_seconds=2.0, max_backoff_seconds=10.0)
    failure = Failure("code", "message", transient=True)
    delays = [
        retry_delay_seconds(policy, failure, attempt=attempt, seconds_left=1e9, jitter=0.999)
        for attempt in (*range(1, 50), 1_500, 4_999)
    ]
    assert all(delay is not None and delay < 10 for delay in delays)


@pytest.mark.parametrize(
    ("code", "attempt", "lost_workers", "seconds_left", "delay"),
    [
        (WORKER_LOST, 1, 1, 100, 0.0),  # at once
        (WORKER_LOST, 5, 2, 100, 0.0),  # what failed otherwise says nothing of that
        (WORKER_LOST, 3, 3, 100, None),  # poison
        (WORKER_LOST, 1, 1, 0, None),  # no time
        ("busy", 4, 2, 100, 2.0),  # the second failure of its own, with its backoff
        ("busy", 5, 2, 100, None),  # the third
    ],
)
def test_lost_workers_are_counted_apart(
    code: str, attempt: int, lost_workers: int, seconds_left: float, delay: float | None
) -> None:
    """A kill says little against a step, but not for ever."""
    failure = Failure(code, "message", transient=True)
    decided = retry_delay_seconds(
        POLICY, failure, attempt=attempt, seconds_left=seconds_left, jitter=0.5, lost_workers=lost_workers
    )
    assert decided == delay
