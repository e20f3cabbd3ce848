"""Calls of the database's own functions, on connections that are borrowed for one statement."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import orjson
import psycopg
from django.db import InterfaceError, OperationalError, connection, transaction

logger = logging.getLogger(__name__)

T = TypeVar("T")

OUTAGE_ERRORS = (OperationalError, InterfaceError)
"""What Django raises when the database cannot be reached, or went away in mid-statement."""


def is_conflict(error: Exception) -> bool:
    """Whether two transactions were in each other's way (a deadlock): Django calls it by an outage's name."""
    conflicts = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
    return isinstance(error.__cause__, conflicts)


_RETRY_CAP_SECONDS = 2.0
# A backslash that is itself escaped begins no escape, so pairs of them are passed over.
_ESCAPED_NUL = re.compile(r"(\\\\)|\\u0000")


def to_jsonb(value: Any) -> str:
    """JSON text that PostgreSQL takes as jsonb: it has no place for U+0000, so that is left out."""
    text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    return _ESCAPED_NUL.sub(r"\1", text) if "\\u0000" in text else text


def from_jsonb(value: str | None) -> Any:
    """What a jsonb result holds; Django hands it over as text."""
    return None if value is None else orjson.loads(value)


def call_function(name: str, arguments: Sequence[Any], casts: Sequence[str]) -> list[Any]:
    """Rows of `SELECT * FROM name(arguments)`, as tuples; the connection goes back to the pool at once."""
    places = ", ".join(f"%s::{cast}" for cast in casts)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {name}({places})", arguments)
            return cursor.fetchall()
    finally:
        release_connection()


def release_connection() -> None:
    """Returns this thread's connection to the pool, unless a transaction is open on it."""
    if not connection.in_atomic_block:
        connection.close()


def require_connection(*, within_seconds: float) -> None:
    """Raises OperationalError when there is no connection to be had so soon; whoever borrows one waits longer."""
    pool: Any = cast(Any, connection).pool
    with connection.wrap_database_errors:
        pool.open()
        pool.putconn(pool.getconn(within_seconds))


def drop_broken_connections() -> None:
    """Looks at the idle connections of this process once one was found broken.

    After a restart of the database all of them are, and each would fail whoever borrows it next.
    """
    pool: Any = cast(Any, connection).pool
    if pool is not None and not pool.closed:
        pool.check()


@contextmanager
def read_within(seconds: float, **settings: str) -> Iterator[None]:
    """Reads in one transaction; the database gives each up after `seconds`, as does whoever waits for a connection.

    `settings` of the database hold for this transaction; a double underscore stands for a dot. Raises OperationalError.
    """
    require_connection(within_seconds=seconds)
    told = {"statement_timeout": str(int(seconds * 1000)), **settings}
    calls = ", ".join("set_config(%s, %s, true)" for _ in told)
    with transaction.atomic():
        with connection.cursor() as cursor:
            pairs = [part for name, value in told.items() for part in (name.replace("__", "."), value)]
            cursor.execute(f"SELECT {calls}", pairs)
        yield


def until_answered(call: Callable[[], T], *, what: str, give_up_after_seconds: float) -> T:
    """Repeats an idempotent `call` through a database outage, with capped, jittered backoff.

    Raises the last error when it has lasted for `give_up_after_seconds`.
    """
    until = time.monotonic() + give_up_after_seconds
    delay = 0.05
    while True:
        try:
            return call()
        except OUTAGE_ERRORS as error:
            if time.monotonic() >= until:
                raise
            logger.warning("%s: the database does not answer (%s), trying again", what, type(error).__name__)
        time.sleep(delay * (0.5 + random.random() / 2))
        delay = min(_RETRY_CAP_SECONDS, delay * 2)
