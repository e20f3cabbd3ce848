"""Providers' rates in a simulation: requests, input and output tokens a minute of each family of models."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping

from agentplatform.capacity.admission import wait_for
from agentplatform.capacity.draws import whole_number
from agentplatform.capacity.model import CallLoad, Rates, StepLoad
from agentplatform.rates import MINUTE_SECONDS


class ProviderRates:
    """What is left of each rate. A minute's worth may be used at once, and comes back evenly."""

    def __init__(self, rates: Mapping[str, Rates], patience_seconds: float) -> None:
        self._rates, self._patience_seconds = rates, patience_seconds
        self._whole_at: dict[tuple[str, str], float] = defaultdict(float)

    def take(self, step: StepLoad, now: float, chance: random.Random) -> tuple[float, str]:
        """How long a step's calls wait for room, and for whose; it is taken, unless they would wait too long."""
        wanted = [
            (call.rate_key, name, amount / limit)
            for call in step.calls
            if call.rate_key in self._rates
            for name, amount, limit in self._amounts(call, chance)
        ]
        longest, of = 0.0, ""
        for key, name, share in wanted:
            wait = wait_for(self._whole_at[key, name] - now, share)
            if wait > longest:
                longest, of = wait, key
        if longest <= self._patience_seconds:
            for key, name, share in wanted:
                self._whole_at[key, name] = max(self._whole_at[key, name], now) + MINUTE_SECONDS * share
        return longest, of

    def _amounts(self, call: CallLoad, chance: random.Random) -> list[tuple[str, float, int]]:
        count = whole_number(chance, call.calls)
        rates = self._rates[call.rate_key]
        if not count:
            return []
        wanted = (
            ("requests", float(count), rates.requests),
            ("input_tokens", count * call.input_tokens.draw(chance), rates.input_tokens),
            ("output_tokens", count * call.output_tokens.draw(chance), rates.output_tokens),
        )
        return [(name, amount, limit) for name, amount, limit in wanted if limit]
