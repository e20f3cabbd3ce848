"""What may be kept and given again: what agents and steps declare, and what a submission allows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

DEFAULT_TTL_SECONDS = 86_400


class Caching(StrEnum):
    """How far an agent's answers may serve again.

    Anything but NONE says that they are deterministic enough, have no side effects, and hold nothing personal that is
    not in the request itself.
    """

    NONE = "none"
    EXACT = "exact"  # to the same request
    SEMANTIC = (
        "semantic"  # also to a question that means the same, where all else that it depends on is equal
    )

    @property
    def breadth(self) -> int:
        return list(Caching).index(self)

    def narrowed(self, other: Caching | None) -> Caching:
        """The narrower of two declarations; None declares nothing."""
        return self if other is None or other.breadth >= self.breadth else other


class CacheControl(StrEnum):
    """What a submission says of caches (RFC 9111, section 5.2.1)."""

    UNSAID = ""
    NO_CACHE = "no-cache"  # nothing kept is given; what is bought may be kept
    NO_STORE = "no-store"  # nor is anything kept

    @property
    def may_serve(self) -> bool:
        return self is CacheControl.UNSAID

    @property
    def may_keep(self) -> bool:
        return self is not CacheControl.NO_STORE


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """What holds for the answers of one step. `version` is of its definition: another one shares none of them."""

    caching: Caching = Caching.NONE
    ttl_seconds: float = DEFAULT_TTL_SECONDS
    version: str = ""


NOT_CACHED = CachePolicy()
