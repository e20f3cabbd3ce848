"""How much of a conversation goes into a request, and when its older part has to be summarised.

The context that a conversation may take is parted: half of it for the latest exchanges, word by word, a quarter for older
ones that are recalled by their meaning, and a quarter for the summary of all that is older.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from agentplatform.llm.messages import BYTES_PER_TOKEN

RECENT_SHARE = 0.5
RECALLED_SHARE = 0.25
SUMMARY_SHARE = 0.25
DUE_SHARE = 0.75
"""Of the room for the latest exchanges: beyond it the older ones are summarised, before there is no room for them."""
KEPT_SHARE = 0.4
"""How much of that room the exchanges take which a summary leaves as they are."""
CUT = " […]"


def tokens_of(text: str) -> int:
    """About how many tokens a text is, rounded up."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was said and what was answered. `ordinal` is of what was said; the answer has the next."""

    ordinal: int
    said: str
    answered: str

    @property
    def tokens(self) -> int:
        return tokens_of(self.said) + tokens_of(self.answered)

    def to_json(self) -> dict[str, str]:
        return {"said": self.said, "answered": self.answered}


@dataclass(frozen=True, slots=True)
class Memory:
    """What a request is told of its conversation. `recent` and `recalled` are in the order in which they were said."""

    summary: str = ""
    recent: tuple[Mapping[str, str], ...] = ()
    recalled: tuple[Mapping[str, str], ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.summary or self.recent or self.recalled)

    def to_json(self) -> dict[str, Any]:
        return {"summary": self.summary, "recent": list(self.recent), "recalled": list(self.recalled)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Self:
        """The memory that `to_json` wrote; an empty one for None."""
        if data is None:
            return cls()
        return cls(data["summary"], tuple(data["recent"]), tuple(data["recalled"]))


def latest_within(newest_first: Iterable[Exchange], context_tokens: int) -> list[Exchange]:
    """The latest exchanges that have room, in their order. Of one that is too long by itself, the beginning."""
    room = int(context_tokens * RECENT_SHARE)
    kept: list[Exchange] = []
    for exchange in newest_first:
        if exchange.tokens > room:
            if not kept:
                kept.append(_cut(exchange, room))
            break
        kept.append(exchange)
        room -= exchange.tokens
    return kept[::-1]


def best_within(best_first: Iterable[Exchange], context_tokens: int) -> list[Exchange]:
    """Of the exchanges that resemble the question those that have room, the best first, in their order."""
    room = int(context_tokens * RECALLED_SHARE)
    kept: list[Exchange] = []
    for exchange in best_first:
        if exchange.tokens <= room:
            kept.append(exchange)
            room -= exchange.tokens
    return sorted(kept, key=lambda exchange: exchange.ordinal)


def assembled(summary: str, recent: Sequence[Exchange], recalled: Sequence[Exchange]) -> Memory:
    """A memory of what was chosen; nothing stands in it twice."""
    shown = {exchange.ordinal for exchange in recent}
    return Memory(
        summary,
        tuple(exchange.to_json() for exchange in recent),
        tuple(exchange.to_json() for exchange in recalled if exchange.ordinal not in shown),
    )


def is_summary_due(unsummarised_tokens: int, context_tokens: int) -> bool:
    """Whether what no summary stands for yet has grown so large that its older part should be summarised."""
    return unsummarised_tokens > context_tokens * RECENT_SHARE * DUE_SHARE


def kept_tokens(context_tokens: int) -> int:
    """How much of the latest exchanges a summary leaves as it is, where a conversation has so much room."""
    return int(context_tokens * RECENT_SHARE * KEPT_SHARE)


def older_part(
    oldest_first: Sequence[Exchange], context_tokens: int, most_tokens: int | None = None
) -> list[Exchange]:
    """The exchanges that a summary should stand for from now on: all but the latest, which stay as they are.

    About `most_tokens` at once (as many as the context has room for, without them): the rest is summarised the next time.
    """
    most = context_tokens if most_tokens is None else most_tokens
    kept = kept_tokens(context_tokens)
    left = sum(exchange.tokens for exchange in oldest_first)
    taken: list[Exchange] = []
    taken_tokens = 0
    for exchange in oldest_first:
        if left <= kept or (taken and taken_tokens + exchange.tokens > most):
            break
        taken.append(_cut(exchange, most))
        taken_tokens += exchange.tokens
        left -= exchange.tokens
    return taken


def _cut(exchange: Exchange, tokens: int) -> Exchange:
    """The beginnings of both texts, where together they are longer; the shorter one gives its room to the other."""
    if exchange.tokens <= tokens:
        return exchange
    half = tokens // 2
    said = min(tokens_of(exchange.said), max(half, tokens - tokens_of(exchange.answered)))
    return Exchange(
        exchange.ordinal, shortened(exchange.said, said), shortened(exchange.answered, tokens - said)
    )


def shortened(text: str, tokens: int) -> str:
    """The beginning of a text that is longer, and that it has been cut."""
    if tokens_of(text) <= tokens:
        return text
    room = max(0, tokens * BYTES_PER_TOKEN - len(CUT.encode()))
    return text.encode()[:room].decode(errors="ignore") + CUT
