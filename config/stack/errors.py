"""Errors a person at a terminal can act on."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot start or go on; the message says what to do. ``exit_code`` is the command's exit status."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UsageError(StackError):
    """Something asked for is impossible as asked: an occupied port, a home already in use. Exit status 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=2)
