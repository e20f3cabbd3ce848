"""The providers of one simulator, each a failure domain: settings, limits, prompt cache and batches of its own."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from agentplatform.simulator.authentication import (
    BEDROCK_PROVIDER,
    DEFAULT_PROVIDER,
    SECOND_PROVIDER,
    VERTEX_PROVIDER,
)
from agentplatform.simulator.batch_store import BatchStore
from agentplatform.simulator.billing import Billing
from agentplatform.simulator.clock import SimulatedClock
from agentplatform.simulator.errors import ApiError
from agentplatform.simulator.prefix_cache import PrefixCache
from agentplatform.simulator.provider_settings import ProviderSettings, change_settings
from agentplatform.simulator.rate_limiter import RateLimiter

ALWAYS_THERE = (DEFAULT_PROVIDER, SECOND_PROVIDER, BEDROCK_PROVIDER, VERTEX_PROVIDER)
_MOST_PROVIDERS = 100


class Provider:
    """One provider. `answers` counts right and wrong ones by model, where a quality is set."""

    def __init__(self, name: str, clock: SimulatedClock, settings: ProviderSettings) -> None:
        self.name = name
        self.settings = settings
        self.limiter = RateLimiter(clock, settings.rate_limits)
        self.prefix_cache = PrefixCache(clock)
        self.billing = Billing(clock)
        self.batches = BatchStore(clock, self.billing.add_batched)
        self.answers: Counter[tuple[str, bool]] = Counter()

    def change(self, fields: Mapping[str, Any]) -> None:
        """Put settings in force; raises a 400, and nothing is changed. New limits begin with full buckets."""
        self.settings = change_settings(self.settings, fields)
        if "rate_limits" in fields:
            self.limiter.set_limits(self.settings.rate_limits)

    def reset_counts(self) -> None:
        """Count anew what is received."""
        self.limiter.reset_counts()
        self.answers.clear()

    def as_json(self) -> dict[str, Any]:
        """Return settings and counts."""
        answers: dict[str, dict[str, int]] = {}
        for (model, rightly), count in sorted(self.answers.items()):
            answers.setdefault(model, {"right": 0, "wrong": 0})["right" if rightly else "wrong"] = count
        return {
            "settings": self.settings.as_json(),
            "rates": self.limiter.as_json(),
            "cached_prefixes": len(self.prefix_cache),
            "batches": self.batches.as_json(),
            "answers": answers,
        }


class Providers:
    """All providers by name. A key may name more than the four that are always there."""

    def __init__(self, clock: SimulatedClock, settings: Mapping[str, ProviderSettings]) -> None:
        self._clock = clock
        self._settings = settings
        self.reset()

    def reset(self) -> None:
        """Forget everything: settings as at the start, full buckets, empty caches, no batches."""
        self._by_name: dict[str, Provider] = {}
        for name in dict.fromkeys((*ALWAYS_THERE, *self._settings)):
            self._add(name)

    def named(self, name: str) -> Provider:
        """Return a provider, new if a key has just named it; raises a 401 beyond a hundred names."""
        provider = self._by_name.get(name)
        if provider is not None:
            return provider
        if len(self._by_name) >= _MOST_PROVIDERS:
            raise ApiError(401, f"This simulator serves at most {_MOST_PROVIDERS} providers.")
        return self._add(name)

    def existing(self, name: str) -> Provider:
        """Return a provider that is there; raises a 404 for any other."""
        if name not in self._by_name:
            raise ApiError(404, f"provider: {name}. Known providers: {', '.join(self._by_name)}.")
        return self._by_name[name]

    def all(self) -> list[Provider]:
        """Return every provider."""
        return list(self._by_name.values())

    def _add(self, name: str) -> Provider:
        settings = self._settings.get(name, ProviderSettings())
        provider = self._by_name[name] = Provider(name, self._clock, settings)
        return provider
