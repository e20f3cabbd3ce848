"""The Prefer header (RFC 7240), as far as it is understood: `wait`."""

from __future__ import annotations

import re

from rest_framework.request import Request

MAX_WAIT_SECONDS = 60
_MAX_CHARACTERS = 1_000
_PREFERENCES = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*")+')
_WAIT = re.compile(r'\s*wait\s*=\s*("?)([0-9]+)\1\s*(?:;.*)?', re.IGNORECASE | re.DOTALL)
_IS_WAIT = re.compile(r"\s*wait\s*(?:[=;]|$)", re.IGNORECASE)


def wait_seconds(request: Request) -> int | None:
    """For how many seconds the client prefers to wait for the result; None where it does not."""
    return preferred_wait_seconds(request.headers.get("Prefer", ""))


def preferred_wait_seconds(header: str) -> int | None:
    """The `wait` of a Prefer header, at most MAX_WAIT_SECONDS; None without one, or with one that means nothing.

    A preference that is not understood is as good as none (RFC 7240, section 2). The first of several counts.
    """
    if len(header) > _MAX_CHARACTERS:
        return None
    for preference in _PREFERENCES.findall(header):
        if _IS_WAIT.match(preference):
            found = _WAIT.fullmatch(preference)
            seconds = min(int(found[2]), MAX_WAIT_SECONDS) if found is not None else 0
            return seconds or None
    return None
