"""What is kept of a step that gave up: why it did, and which failures are one and the same."""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

from agentplatform.execution.retry import WORKER_LOST, Failure, RetryPolicy

FINGERPRINT_CHARACTERS = 32

_FRAME = re.compile(r'File "(?P<file>[^"]*)", line \d+, in (?P<function>\S+)')
_VARIABLE = re.compile(
    r"'[^']*'|\"[^\"]*\"|0x[0-9a-f]+"  # what is quoted, and addresses
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"  # UUIDs
    r"|\d+(?:[.,:]\d+)*",  # numbers, times, versions
    re.IGNORECASE,
)


class Reason(StrEnum):
    """Why a step gave up."""

    EXHAUSTED = "exhausted"  # it failed as often as it may
    PERMANENT = "permanent"  # its failure does not pass by itself
    POISON = "poison"  # as many workers were lost on it as may be
    OUT_OF_TIME = "out_of_time"  # another attempt could not have started before the workflow's deadline


def given_up_because(policy: RetryPolicy, failure: Failure, *, attempt: int, lost_workers: int) -> Reason:
    """Why there is no further attempt, once `retry_delay_seconds` has said that there is none."""
    if failure.code == WORKER_LOST:
        return Reason.POISON if lost_workers >= policy.max_lost_workers else Reason.OUT_OF_TIME
    if not failure.transient:
        return Reason.PERMANENT
    return Reason.EXHAUSTED if attempt - lost_workers >= policy.max_attempts else Reason.OUT_OF_TIME


def fingerprint_of(failure: Failure, agent: str) -> str:
    """The same for failures of one kind: a hash of error class, code, agent and where it was raised.

    Where means the files and functions of the traceback, without line numbers and folders, which differ between
    releases and machines; without a traceback, the message without what varies in it: numbers, ids, what is quoted.
    """
    where = [
        f"{'/'.join(frame['file'].replace(chr(92), '/').split('/')[-2:])}:{frame['function']}"
        for frame in _FRAME.finditer(failure.traceback)
    ]
    place = "\n".join(where) if where else _VARIABLE.sub("?", failure.message)
    content = "\x00".join((failure.error_class, failure.code, agent, place))
    return hashlib.sha256(content.encode()).hexdigest()[:FINGERPRINT_CHARACTERS]
