"""What a provider bills: tokens and their price, by the day (UTC) of the simulator's clock."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

from agentplatform.llm.errors import UnknownPrice
from agentplatform.llm.messages import Usage
from agentplatform.llm.pricing import BUCKETS, PriceBook, PriceList
from agentplatform.simulator.clock import SimulatedClock
from agentplatform.simulator.models import find_model

STANDARD = "standard"
BATCH = "batch"


@dataclass(slots=True)
class Bill:
    """What a model's calls of one day came to; `usd_micros` by bucket of tokens, not rounded."""

    tokens: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BUCKETS, 0))
    usd_micros: dict[str, Decimal] = field(default_factory=lambda: dict.fromkeys(BUCKETS, Decimal(0)))


class Billing:
    """The bills of one provider, by day, model and service tier. A model that has no listed price costs nothing."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self._bills: defaultdict[tuple[date, str, str], Bill] = defaultdict(Bill)

    def add(self, model: str, usage: Usage, *, service_tier: str = STANDARD, day: date | None = None) -> None:
        """Bill one call, to the present day unless another is given."""
        bill = self._bills[day or self._clock.now().date(), model, service_tier]
        prices = _prices(model, service_tier == BATCH)
        costs = prices.costs_by_bucket(usage) if prices else {}
        for bucket in BUCKETS:
            bill.tokens[bucket] += getattr(usage, bucket)
            bill.usd_micros[bucket] += costs.get(bucket, 0)

    def add_batched(self, message: Mapping[str, Any], day: date) -> None:
        """Bill a message object of a batch."""
        told, written = message["usage"], message["usage"]["cache_creation"]
        usage = Usage(
            input_tokens=told["input_tokens"],
            output_tokens=told["output_tokens"],
            cache_write_5m_tokens=written["ephemeral_5m_input_tokens"],
            cache_write_1h_tokens=written["ephemeral_1h_input_tokens"],
            cache_read_tokens=told["cache_read_input_tokens"],
        )
        self.add(find_model(message["model"]).id, usage, service_tier=BATCH, day=day)

    def of_day(self, day: date) -> Iterator[tuple[str, str, Bill]]:
        """Yield (model, service tier, bill) of one day."""
        for (billed_on, model, service_tier), bill in sorted(self._bills.items(), key=lambda one: one[0]):
            if billed_on == day:
                yield model, service_tier, bill


@cache
def _prices(model: str, batch: bool) -> PriceList | None:
    try:
        return PriceBook().of(model, batch=batch)
    except UnknownPrice:
        return None
