"""One POST of a webhook, and how it ended."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from agentplatform.notifications.delivery import AttemptResult, result_of_answer
from agentplatform.outbound.addresses import AddressRules
from agentplatform.outbound.exchange import NETWORK_ERRORS, Answer, ExchangeFailed, exchange
from agentplatform.outbound.resolving import Resolve

USER_AGENT = "agentplatform-webhooks/1"
EXCERPT_CHARACTERS = 200
_EXCERPT_BYTES = 4 * EXCERPT_CHARACTERS


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    rules: AddressRules,
    resolve: Resolve,
    timeout_seconds: float,
    tls: ssl.SSLContext | None = None,
) -> AttemptResult:
    """Sends the body, and tells how it ended; nothing is raised for what the other side does."""
    began = time.monotonic()
    sent = {"User-Agent": USER_AGENT, "Content-Type": "application/json", **headers}
    deadline = began + timeout_seconds
    try:
        with exchange(
            "POST", url, sent, body, rules=rules, resolve=resolve, deadline=deadline, tls=tls
        ) as answer:
            excerpt = "" if 200 <= answer.status < 300 else _beginning(answer)
            status, answered = answer.status, answer.headers
    except ExchangeFailed as error:
        return AttemptResult(
            time.monotonic() - began,
            error_code=error.code,
            error_message=error.message[:300],
            is_hosts=error.is_hosts,
        )
    return result_of_answer(status, answered, excerpt, time.monotonic() - began, datetime.now(UTC))


def _beginning(answer: Answer) -> str:
    """The first characters of an answer, as far as they come; U+0000 is left out, which no column holds."""
    read = b""
    try:
        for chunk in answer.body:
            read += chunk
            if len(read) >= _EXCERPT_BYTES:
                break
    except NETWORK_ERRORS:
        pass  # what has come is enough
    text = read[:_EXCERPT_BYTES].decode("utf-8", errors="replace").replace("\x00", "")
    return text[:EXCERPT_CHARACTERS]
