"""Whether and when a failed step is tried again."""

from dataclasses import dataclass

MOST_DOUBLINGS = 60
"""More would be no longer wait than any cap, and in the end no number."""

WORKER_LOST = "worker_lost"
"""The failure code of an attempt whose lease expired."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed.

    `code` is stable and safe to show; `message` says what to do and holds no prompt or output. `transient`
    failures may pass by themselves. `retry_after_seconds` is what a provider asked for, if it did.
    `error_class` is the class of the exception, with its module.
    """

    code: str
    message: str
    transient: bool
    retry_after_seconds: float | None = None
    traceback: str = ""
    error_class: str = ""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a step is tried, and how long it waits in between.

    `max_attempts` counts attempts that failed; how many workers a step may cost is `max_lost_workers`.
    """

    max_attempts: int = 3
    base_backoff_seconds: float = 1.0
    max_backoff_seconds: float = 60.0
    max_lost_workers: int = 3


def retry_delay_seconds(
    policy: RetryPolicy,
    failure: Failure,
    *,
    attempt: int,
    seconds_left: float,
    jitter: float,
    lost_workers: int = 0,
) -> float | None:
    """Seconds to wait before attempt `attempt + 1`, or None when the step should give up.

    Exponential backoff with full jitter (M. Brooker, "Exponential Backoff and Jitter", 2015); `jitter` is
    drawn from [0, 1) by the caller. A provider's retry-after is respected up to the cap. A retry that could
    not start before the deadline is not made. `lost_workers` is how many of the `attempt` attempts ended with
    their worker: that says little against a step, so it is tried again at once, and not counted as a failure of
    it; but one that has lost `max_lost_workers` is taken to be what kills them.
    """
    if failure.code == WORKER_LOST:
        return 0.0 if lost_workers < policy.max_lost_workers and seconds_left > 0 else None
    failed = attempt - lost_workers
    if not failure.transient or failed >= policy.max_attempts:
        return None
    ceiling = min(
        policy.max_backoff_seconds, policy.base_backoff_seconds * 2.0 ** min(failed - 1, MOST_DOUBLINGS)
    )
    delay = ceiling * jitter
    if failure.retry_after_seconds is not None:
        delay = max(delay, min(failure.retry_after_seconds, policy.max_backoff_seconds))
    return delay if delay < seconds_left else None
