"""What a client asks for in headers: Prefer (RFC 7240, `wait`), Cache-Control (RFC 9111), Idempotency-Key."""

from __future__ import annotations

import re

from rest_framework.request import Request

from agentplatform.llm.caching.policy import CacheControl
from apps.api.errors import Problem

MAX_WAIT_SECONDS = 60
_MAX_CHARACTERS = 1_000
_IDEMPOTENCY_KEY = re.compile(r"^[\x21-\x7e]{1,255}$")
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


def cache_control(request: Request) -> CacheControl:
    """What the client says of caches: the strictest of what is understood of its Cache-Control.

    `max-age=0` asks for the same as `no-cache`.
    """
    header = request.headers.get("Cache-Control", "")[:_MAX_CHARACTERS].lower()
    directives = {directive.strip() for directive in header.split(",")}
    if "no-store" in directives:
        return CacheControl.NO_STORE
    return CacheControl.NO_CACHE if directives & {"no-cache", "max-age=0"} else CacheControl.UNSAID


def idempotency_key(request: Request) -> str | None:
    """The client's own key for what it asks; None without one. Raises a 400 Problem."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.match(key):
        raise Problem(
            400,
            "invalid_idempotency_key",
            "An Idempotency-Key is 1 to 255 printable ASCII characters, no spaces.",
        )
    return key
