"""Whether and when a delivery is tried again, by how an attempt ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from agentplatform.execution.retry import Failure, RetryPolicy, retry_delay_seconds

GONE = 410
MAX_ATTEMPTS = 21
MAX_RETRY_SECONDS = 5 * 3600.0


def delivery_policy(base_seconds: float) -> RetryPolicy:
    """Twenty-one attempts: with a base of 5 s the last is made some 23 hours after the first, on average."""
    return RetryPolicy(
        max_attempts=MAX_ATTEMPTS, base_backoff_seconds=base_seconds, max_backoff_seconds=MAX_RETRY_SECONDS
    )


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How an attempt ended. `error_code` is empty when it was delivered.

    `is_permanent`: no later attempt would do better. `is_hosts`: it speaks against the host, not the request.
    `response_excerpt` is the beginning of an answer that refused, for the owner of the endpoint.
    """

    duration_seconds: float
    status_code: int | None = None
    error_code: str = ""
    error_message: str = ""
    response_excerpt: str = ""
    retry_after_seconds: float | None = None
    is_permanent: bool = False
    is_hosts: bool = False

    @property
    def is_delivered(self) -> bool:
        return not self.error_code


@dataclass(frozen=True, slots=True)
class NextStep:
    """What becomes of a delivery: it has ended, or is tried again after a delay."""

    has_ended: bool
    delay_seconds: float = 0.0


def decide_next_step(result: AttemptResult, policy: RetryPolicy, *, attempts: int, jitter: float) -> NextStep:
    """After the attempt that was number `attempts`; `jitter` is drawn from [0, 1) by the caller."""
    if result.is_delivered:
        return NextStep(has_ended=True)
    failure = Failure(
        result.error_code,
        result.error_message,
        transient=not result.is_permanent,
        retry_after_seconds=result.retry_after_seconds,
    )
    delay = retry_delay_seconds(policy, failure, attempt=attempts, seconds_left=math.inf, jitter=jitter)
    return NextStep(has_ended=True) if delay is None else NextStep(has_ended=False, delay_seconds=delay)


def result_of_answer(
    status_code: int, headers: Mapping[str, str], excerpt: str, duration_seconds: float, now: datetime
) -> AttemptResult:
    """What an HTTP answer means: 2xx is delivered, 410 is for good, anything else is tried again.

    A redirect is not followed: its target has been checked by nobody. `headers` have lower-case names.
    """
    if 200 <= status_code < 300:
        return AttemptResult(duration_seconds, status_code)
    code, message = f"http_{status_code}", f"The endpoint answered {status_code}."
    if 300 <= status_code < 400:
        code = "redirected"
        message = (
            f"The endpoint answered {status_code}; redirects are not followed. Set its URL to the target."
        )
    elif status_code == GONE:
        code, message = "gone", "The endpoint answered 410 Gone: it wants no more webhooks."
    return AttemptResult(
        duration_seconds,
        status_code,
        code,
        message,
        excerpt,
        retry_after_seconds(headers.get("retry-after"), now),
        is_permanent=status_code == GONE,
        is_hosts=status_code == 429 or status_code >= 500,
    )


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for, which holds a number or a date; None for anything else."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
