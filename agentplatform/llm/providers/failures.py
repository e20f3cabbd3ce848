"""What can go wrong with a provider, as a ModelError. No message holds anything of a prompt or an answer."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

import anthropic
import httpx2

from agentplatform.llm.errors import ModelError
from agentplatform.llm.providers.seen import MAX_NAME_CHARACTERS, Seen

MAX_CODE_CHARACTERS = 64
"""How much is kept of a provider's error codes."""

_TRANSIENT_STATUS = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
_PROVIDERS_STATUS = frozenset({408, 500, 502, 503, 504, 529})
"""Statuses that speak against the provider; a 429 speaks of its rates, and a 4xx of the request."""

_PROVIDERS_TYPES = frozenset({"api_error", "overloaded_error", "timeout_error"})
_CODES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The codes of the Messages API, for providers that answer in other words."""

_SPEND_LIMITS = ("enforced_spend_limit_reached", "contract_spend_limit_reached")
_REGAIN_ACCESS = re.compile(r"regain access on (\d{4}-\d{2}-\d{2})(?: at (\d{2}:\d{2}))?")


def failure_of(error: Exception, seen: Seen) -> ModelError:
    """What an error of the SDK or of its transport means for the call, with what had been billed by then."""
    if isinstance(error, anthropic.APIStatusError):
        return _status_error(error, seen)
    # A stream that breaks off after its headers raises the transport's errors, not the SDK's.
    if isinstance(error, anthropic.APITimeoutError | httpx2.TimeoutException):
        return ModelError(
            "timeout",
            "The provider did not answer in time; the step is tried again by itself.",
            transient=True,
            usage=seen.usage_of_a_call_given_up(),
            request_id=seen.request_id,
            is_providers=True,
        )
    if isinstance(error, anthropic.APIConnectionError | httpx2.HTTPError | httpx2.StreamError | OSError):
        return broken_off(seen)
    return ModelError(
        "invalid_response",
        f"The provider's answer cannot be read ({type(error).__name__}); the step is tried again.",
        transient=True,
        usage=seen.usage_so_far(),
        request_id=seen.request_id,
        is_providers=True,
    )


def broken_off(seen: Seen) -> ModelError:
    """The connection ended before the answer did."""
    return ModelError(
        "connection_error",
        "The connection to the provider broke off; the step is tried again by itself.",
        transient=True,
        usage=seen.usage_so_far(),
        request_id=seen.request_id,
        is_providers=True,
    )


def _status_error(error: anthropic.APIStatusError, seen: Seen) -> ModelError:
    # The provider's own wording may quote the prompt, so only its type and code are kept.
    status = error.status_code
    is_stream = status == 200
    code = str(error.error_code or error.type or _CODES.get(status) or f"http_{status}")[:MAX_CODE_CHARACTERS]
    unavailable = _unavailable_seconds(error)
    return ModelError(
        code,
        f"The provider answered {status} ({code}).",
        transient=bool(unavailable)
        or status in _TRANSIENT_STATUS
        or (is_stream and error.type != "invalid_request_error"),
        retry_after_seconds=_retry_after(error.response),
        usage=seen.usage_so_far(),
        request_id=(error.request_id or seen.request_id)[:MAX_NAME_CHARACTERS],
        is_providers=bool(unavailable)
        or status in _PROVIDERS_STATUS
        or (is_stream and error.type in _PROVIDERS_TYPES),
        unavailable_seconds=unavailable,
    )


def _unavailable_seconds(error: anthropic.APIStatusError) -> float:
    """How long the organisation's own limit of spending keeps the provider shut: until the date it names, or the month's end."""
    told = _REGAIN_ACCESS.search(str(error.message))
    if told is None and error.error_code not in _SPEND_LIMITS:
        return 0.0
    now = datetime.now(UTC)
    if told is None:
        until = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0)
    else:
        until = datetime.fromisoformat(f"{told[1]}T{told[2] or '00:00'}:00+00:00")
    return max(1.0, (until - now).total_seconds())


def _retry_after(response: httpx2.Response) -> float | None:
    for header, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(response.headers[header]) * scale
        except (KeyError, ValueError):
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None
