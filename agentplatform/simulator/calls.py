"""What was received on `POST /v1/messages`: counts since the last reset and the latest calls, no prompts."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from agentplatform.simulator.reply import Reply

LISTED_CALLS = 10_000


@dataclass(slots=True)
class Call:
    """One received call, still in flight while `status` is None.

    `outcome` is completed, error, cut (by a scripted fault) or client_disconnected (status 499 where that
    came before the answer). `first_token_at` is when a stream's first delta is handed to the server. Tokens
    are those billed: what a cut stream had sent until then; input is without what the prompt cache holds.
    `right` says whether the answer was, where the provider has a quality set.
    """

    at: datetime
    request_id: str
    first_token_at: datetime | None = None
    model: str | None = None
    provider: str | None = None
    stream: bool = False
    status: int | None = None
    outcome: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    right: bool | None = None
    request_sha256: str | None = None
    idempotency_key: str | None = None
    user_id: str | None = None

    def describe(self, fields: Mapping[str, Any]) -> None:
        """Take model, stream flag and user id from a parsed body that may still prove invalid."""
        model, metadata = fields.get("model"), fields.get("metadata")
        self.model = model if isinstance(model, str) else None
        self.stream = fields.get("stream") is True
        user_id = metadata.get("user_id") if isinstance(metadata, dict) else None
        self.user_id = user_id if isinstance(user_id, str) else None

    def bill(self, reply: Reply) -> None:
        """Take the input a reply is billed for; its output is noted as it is sent."""
        self.input_tokens = reply.input_tokens
        self.cache_creation_input_tokens = reply.cached.written
        self.cache_read_input_tokens = reply.cached.read

    def as_json(self) -> dict[str, Any]:
        """Return the call for `GET /_control/calls`."""
        first_token_at = None if self.first_token_at is None else _rfc3339(self.first_token_at)
        return asdict(self) | {"at": _rfc3339(self.at), "first_token_at": first_token_at}


def _rfc3339(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


class CallLog:
    """Counts and lists the calls of this process."""

    def __init__(self) -> None:
        self._in_flight = 0
        self.reset()

    def begin(self, request_id: str) -> Call:
        """Count a call that has just arrived and return its record to fill in."""
        call = Call(at=datetime.now(UTC), request_id=request_id)
        self._total += 1
        self._in_flight += 1
        self._calls.append(call)
        return call

    def finish(self, call: Call, status: int, outcome: str) -> None:
        """Note how a call ended. A call from before a reset is no longer counted."""
        call.status, call.outcome = status, outcome
        self._in_flight -= 1
        if call.at >= self._reset_at:
            self._ended[call.provider or "unknown", call.model or "unknown", status] += 1

    def reset(self) -> None:
        """Forget all calls but those still in flight, which stay counted as such."""
        self._reset_at = datetime.now(UTC)
        self._total = 0
        self._ended: Counter[tuple[str, str, int]] = Counter()
        self._calls: deque[Call] = deque(maxlen=LISTED_CALLS)

    def snapshot(self, since: datetime | None) -> dict[str, Any]:
        """Return the counts since the last reset and the listed calls received after `since`.

        `total` counts calls as they arrive, `by_model`, `by_status` and `by_provider` as they end.
        """
        by_model: Counter[str] = Counter()
        by_status: Counter[str] = Counter()
        by_provider: dict[str, dict[str, Counter[str]]] = {}
        for (provider, model, status), count in self._ended.items():
            by_model[model] += count
            by_status[str(status)] += count
            by_provider.setdefault(provider, {}).setdefault(model, Counter())[str(status)] += count
        listed = [call.as_json() for call in self._calls if since is None or call.at > since]
        return {
            "total": self._total,
            "in_flight": self._in_flight,
            "by_model": by_model,
            "by_status": by_status,
            "by_provider": by_provider,
            "calls": listed,
        }
