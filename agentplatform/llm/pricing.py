"""What calls cost, in integer micro-dollars: the prices of genai-prices, and those that an operator has set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from importlib.metadata import version

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices

from agentplatform.llm.errors import UnknownPrice
from agentplatform.llm.messages import Usage

PRICE_VERSION = f"genai-prices {version('genai-prices')}"
BATCH_SHARE = Decimal("0.5")
"""What the batch lane costs of an operator's own price; genai-prices has batch prices of its own."""

_BATCH = {"processing": "batch"}


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """Dollars per million tokens, which is micro-dollars per token, one price for each bucket of a Usage."""

    input_tokens: Decimal
    output_tokens: Decimal
    cache_write_5m_tokens: Decimal
    cache_write_1h_tokens: Decimal
    cache_read_tokens: Decimal

    @property
    def dearest_input(self) -> Decimal:
        """What an input token costs at most, in whichever bucket it is counted."""
        return max(
            self.input_tokens, self.cache_write_5m_tokens, self.cache_write_1h_tokens, self.cache_read_tokens
        )

    def times(self, share: Decimal) -> TokenPrices:
        return TokenPrices(*(getattr(self, field.name) * share for field in fields(self)))


BUCKETS = tuple(field.name for field in fields(TokenPrices))
"""The buckets that tokens are counted in, by their names."""


@dataclass(frozen=True, slots=True)
class PriceList:
    """The prices of one model. `steps` are (more input tokens than, prices of all tokens), from low to high."""

    steps: tuple[tuple[int, TokenPrices], ...]
    version: str

    def cost_usd_micros(self, usage: Usage) -> int:
        """What `usage` costs, rounded half up to a micro-dollar."""
        return _rounded(sum(self.costs_by_bucket(usage).values(), Decimal(0)))

    def costs_by_bucket(self, usage: Usage) -> dict[str, Decimal]:
        """What each bucket of `usage` costs, by the bucket's name, in micro-dollars that are not rounded."""
        prices = self._prices(usage.total_input_tokens)
        return {bucket: getattr(prices, bucket) * getattr(usage, bucket) for bucket in BUCKETS}

    def worst_case_usd_micros(self, input_tokens: int, output_tokens: int, *, caches: bool) -> int:
        """The most that so many tokens can cost, at the dearest price up to there.

        With `caches`, all input may be written to the provider's prompt cache, which costs more than reading it.
        """
        reachable = [prices for above, prices in self.steps if input_tokens > above or above == 0]
        dearest = max(prices.dearest_input if caches else prices.input_tokens for prices in reachable)
        output = max(prices.output_tokens for prices in reachable)
        return _rounded(dearest * input_tokens + output * output_tokens)

    def affordable_output_tokens(self, usd_micros: int, input_tokens: int, *, caches: bool) -> int:
        """How many tokens an answer may have so that the worst case is within `usd_micros`; below 0: none at all."""
        without = self.worst_case_usd_micros(input_tokens, 0, caches=caches)
        with_million = self.worst_case_usd_micros(input_tokens, 1_000_000, caches=caches)
        if with_million == without:
            return 1_000_000 if without <= usd_micros else -1
        # A rounded cost may hide up to half a micro-dollar on either side.
        return (usd_micros - without - 1) * 1_000_000 // (with_million - without)

    def _prices(self, input_tokens: int) -> TokenPrices:
        reached = self.steps[0][1]
        for above, prices in self.steps[1:]:
            if input_tokens > above:
                reached = prices
        return reached


@dataclass(frozen=True, slots=True)
class PriceOverride:
    """A price that an operator has set, from a day on (UTC). An empty `provider` means every provider."""

    provider: str
    model: str
    valid_from: date
    prices: TokenPrices
    version: str


class PriceBook:
    """Finds the prices of a model: the latest override that is valid, else those of genai-prices."""

    def __init__(self, overrides: Sequence[PriceOverride] = ()) -> None:
        self._overrides = sorted(
            overrides, key=lambda own: (bool(own.provider), own.valid_from), reverse=True
        )

    def of(
        self, model: str, *, provider: str = "anthropic", listed_as: str = "anthropic", batch: bool = False
    ) -> PriceList:
        """The prices of `model` today. `listed_as` is the provider's id in genai-prices. Raises UnknownPrice."""
        today = datetime.now(UTC).date()
        for own in self._overrides:
            if own.model == model and own.provider in ("", provider) and own.valid_from <= today:
                prices = own.prices.times(BATCH_SHARE) if batch else own.prices
                return PriceList(((0, prices),), own.version)
        return _listed(model, listed_as, batch, today)


@lru_cache(maxsize=256)
def _listed(model: str, listed_as: str, batch: bool, today: date) -> PriceList:
    snapshot = get_snapshot()
    try:
        _, found = snapshot.find_provider_model(model, None, listed_as, None)
    except LookupError as error:
        raise UnknownPrice(
            "unknown_price",
            f"There is no price for model '{model}'; set a price for it, or a tier's model to one that has one.",
            transient=False,
        ) from error
    noon = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
    prices = found.get_prices(noon, _BATCH if batch else None)
    starts = {0, *(start for price in vars(prices).values() for start in _starts(price))}
    return PriceList(tuple((start, _token_prices(prices, start)) for start in sorted(starts)), PRICE_VERSION)


def _token_prices(prices: ModelPrice, above: int) -> TokenPrices:
    def price(*names: str) -> Decimal:
        for name in names:
            found = getattr(prices, name, None)
            if found is not None:
                return _at(found, above)
        return Decimal(0)

    return TokenPrices(
        input_tokens=price("input_mtok"),
        output_tokens=price("output_mtok"),
        cache_write_5m_tokens=price("cache_write_mtok", "input_mtok"),
        cache_write_1h_tokens=price("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
        cache_read_tokens=price("cache_read_mtok", "input_mtok"),
    )


def _starts(price: object) -> list[int]:
    return [step.start for step in price.tiers] if isinstance(price, TieredPrices) else []


def _at(price: Decimal | TieredPrices, above: int) -> Decimal:
    """The price of a token in a request with more than `above` input tokens."""
    if isinstance(price, Decimal):
        return price
    reached = price.base
    for step in price.tiers:
        if above >= step.start:
            reached = step.price
    return reached


def _rounded(micros: Decimal) -> int:
    return max(0, int(micros.quantize(Decimal(1), rounding=ROUND_HALF_UP)))
