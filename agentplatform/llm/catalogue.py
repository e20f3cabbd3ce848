"""What an operator sets about models: tiers, the providers that serve them, their rates and prices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from agentplatform.llm.errors import ModelError
from agentplatform.llm.pricing import PriceBook, PriceList
from agentplatform.llm.routing.limits import DEFAULT_LIMITS
from agentplatform.llm.tiers import Tier


class ProviderKind(StrEnum):
    """Which API a provider speaks, and so which client of the SDK calls it."""

    ANTHROPIC = "anthropic"
    BEDROCK = "bedrock"
    VERTEX = "vertex"

    @property
    def listed_as(self) -> str:
        """The id under which genai-prices lists this kind."""
        return {"anthropic": "anthropic", "bedrock": "aws", "vertex": "google"}[self.value]


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What a provider takes of one family of models in a minute; None where nothing is known."""

    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True)
class Target:
    """A model of a provider: what a call is sent to. `model_name` is what the provider calls `model`."""

    provider: str
    model: str
    model_name: str
    kind: ProviderKind = ProviderKind.ANTHROPIC
    family: str = ""
    rates: RateLimits = RateLimits()
    takes_batches: bool = False

    @cached_property
    def circuit(self) -> str:
        """The key of its circuit breaker."""
        return f"{self.provider}/{self.model}"

    @cached_property
    def rate_key(self) -> str:
        """What shares its rates: the models of one family at one provider."""
        return f"{self.provider}/{self.family or family_of(self.model)}"


@dataclass(frozen=True, slots=True)
class TierSettings:
    """One tier: its model, who serves it in which order, and what it is for.

    `max_complexity` is the highest complexity, in [0, 1], that is still sent to it; `min_cache_tokens` the shortest
    prefix that its model caches. `use_cases` are sent to it whatever their complexity.
    """

    tier: Tier
    model: str
    targets: tuple[Target, ...]
    max_complexity: float
    use_cases: frozenset[str] = frozenset()
    context_window_tokens: int = 200_000
    max_output_tokens: int = 64_000
    min_cache_tokens: int = 1_024


@dataclass(frozen=True)
class Catalogue:
    """The settings of the gateway at one moment."""

    tiers: Mapping[Tier, TierSettings]
    prices: PriceBook = field(default_factory=PriceBook)
    batch_min_seconds: float = 3600.0
    """A call is left to a batch only while its workflow has more time left than this."""

    def price_list(self, target: Target, *, batch: bool = False) -> PriceList:
        """The prices of a target. Raises UnknownPrice."""
        return self.prices.of(
            target.model, provider=target.provider, listed_as=target.kind.listed_as, batch=batch
        )

    def settings(self, tier: Tier) -> TierSettings:
        """The settings of `tier`; of the next one that anybody serves, if nobody serves it. Raises ModelError."""
        nearest = sorted(self.tiers, key=lambda other: (other.rank < tier.rank, abs(other.rank - tier.rank)))
        if not nearest:
            raise ModelError(
                "no_provider",
                "No provider serves any tier of models; enable one in the admin.",
                transient=True,
            )
        return self.tiers[nearest[0]]

    def worst_case_usd_micros(self, tier: Tier | None, input_tokens: int, output_tokens: int) -> int:
        """The most that calls on `tier` (None: on any) can cost, at the dearest of its providers. Raises ModelError."""
        anywhere = self.settings(tier or Tier.FAST)
        tiers = self.tiers.values() if tier is None else [anywhere]
        return max(
            self.price_list(target).worst_case_usd_micros(input_tokens, output_tokens, caches=True)
            for settings in tiers
            for target in settings.targets
        )


_VERSION = re.compile(r"[-@.:]?(v?\d[\d.:]*|latest)(?=[-@.:]|$)")


def family_of(model: str) -> str:
    """The family whose models share rates: the name without its versions and dates (claude-haiku-5-5 → claude-haiku)."""
    return _VERSION.sub("", model) or model


DEFAULT_USE_CASES: Mapping[Tier, frozenset[str]] = {
    Tier.FAST: frozenset({"summarize_document.summarize", "research_report.notes"}),
    Tier.BALANCED: frozenset(),
    Tier.POWERFUL: frozenset(),
}
"""Steps whose texts are long and whose work is simple: their length says nothing of their complexity."""


def _default(tier: Tier, model: str, min_cache_tokens: int) -> TierSettings:
    target = Target("anthropic", model, model, takes_batches=True)
    return TierSettings(
        tier,
        model,
        (target,),
        DEFAULT_LIMITS[tier],
        DEFAULT_USE_CASES[tier],
        min_cache_tokens=min_cache_tokens,
    )


DEFAULT_CATALOGUE = Catalogue(
    {
        Tier.FAST: _default(Tier.FAST, "claude-haiku-5-5", 2_048),
        Tier.BALANCED: _default(Tier.BALANCED, "claude-sonnet-5-5", 1_024),
        Tier.POWERFUL: _default(Tier.POWERFUL, "claude-opus-5-5", 1_024),
    }
)
"""What holds until an operator has set something else."""
