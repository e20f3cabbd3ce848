"""What a call costs, in integer micro-dollars."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import version

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price

from agentplatform.llm.errors import UnknownPrice
from agentplatform.llm.messages import Usage

PRICE_VERSION = f"genai-prices {version('genai-prices')}"


def cost_usd_micros(model: str, usage: Usage, *, provider: str = "anthropic") -> int:
    """The price of `usage` on `model`, rounded half up to a micro-dollar. Raises UnknownPrice."""
    priced = PricedUsage(
        input_tokens=usage.total_input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
    )
    try:
        price = calc_price(priced, model_ref=model, provider_id=provider)
    except LookupError as error:
        raise UnknownPrice(
            "unknown_price",
            f"There is no price for model '{model}'; set a tier's model to one that has a price.",
            transient=False,
        ) from error
    micros = (price.total_price * 1_000_000).quantize(Decimal(1), rounding=ROUND_HALF_UP)
    return max(0, int(micros))
