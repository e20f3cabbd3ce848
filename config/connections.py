"""Connections to PostgreSQL that do not wait forever."""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg
from psycopg import errors

T = TypeVar("T")


class AnsweringConnection(psycopg.Connection[Any]):
    """Gives up on a server that says nothing for `answer_seconds`, and closes.

    A server, or a proxy before it, can vanish without a word; TCP then waits for hours. What was asked may have been
    done or not, as with any connection that is lost. Zero waits for ever, as for migrations.
    """

    answer_seconds = 30.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Raises OperationalError when there is no answer in time."""
        if timeout is not None or not self.answer_seconds:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.answer_seconds)
        except errors._WaitTimeout:
            self.close()
            raise psycopg.OperationalError(
                f"PostgreSQL has not answered for {self.answer_seconds:g} seconds; the connection was closed"
            ) from None
