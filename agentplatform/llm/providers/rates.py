"""What a provider says of its rates in the headers of its answers."""

from __future__ import annotations

from collections.abc import Mapping

from agentplatform.llm.catalogue import RateLimits
from agentplatform.llm.model import RateReport

_PREFIX = "anthropic-ratelimit-"


def rates_of(headers: Mapping[str, str]) -> RateReport | None:
    """Limits a minute and what is left of them; None where the provider says nothing of them."""
    if f"{_PREFIX}requests-limit" not in headers and f"{_PREFIX}input-tokens-limit" not in headers:
        return None
    return RateReport(limits=_read(headers, "limit"), remaining=_read(headers, "remaining"))


def _read(headers: Mapping[str, str], what: str) -> RateLimits:
    return RateLimits(*(_number(headers, f"{_PREFIX}{name}-{what}") for name in _DIMENSIONS))


_DIMENSIONS = ("requests", "input-tokens", "output-tokens")


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
