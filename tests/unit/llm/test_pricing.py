"""Prices to the micro-dollar, for every bucket of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.llm.errors import UnknownPrice
from agentplatform.llm.messages import Usage
from agentplatform.llm.pricing import PriceBook

MILLION = 1_000_000
BUCKETS = (
    "input_tokens",
    "output_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_read_tokens",
)
# Dollars per million tokens, in the order of BUCKETS.
PRICES = {
    "claude-haiku-4-5": (1, 5, 1.25, 2, 0.10),
    "claude-sonnet-5-5": (2, 10, 2.50, 4, 0.10),
    "claude-opus-5-5": (4, 20, 5, 8, 0.20),
    "claude-fable-5-2": (8, 40, 10, 16, 0.20),
}
HAIKU = (0.10, 0.50, 0.125, 0.20, 0.01)
LONG_HAIKU = (0.50, 2.50, 0.625, 1.00, 0.05)


def cost_usd_micros(model: str, usage: Usage) -> int:
    """By the prices of today."""
    return PriceBook().of(model).cost_usd_micros(usage)


usages = st.builds(Usage, **{bucket: st.integers(0, 2_000_000) for bucket in BUCKETS})


@pytest.mark.parametrize("model", PRICES)
@pytest.mark.parametrize("bucket", range(5), ids=BUCKETS)
def test_every_bucket_has_its_price(model: str, bucket: int) -> None:
    """A million tokens of one bucket."""
    usage = Usage(**{BUCKETS[bucket]: MILLION})
    assert cost_usd_micros(model, usage) == PRICES[model][bucket] * MILLION


@pytest.mark.parametrize("bucket", range(5), ids=BUCKETS)
def test_a_prompt_up_to_100k_has_haikus_lower_price(bucket: int) -> None:
    """100,000 input tokens are still within."""
    usage = Usage(**{BUCKETS[bucket]: 100_000})
    assert cost_usd_micros("claude-haiku-5-5", usage) == HAIKU[bucket] * 100_000


@pytest.mark.parametrize(
    ("usage", "micros"),
    [
        (Usage(input_tokens=100_001), 50_001),
        (Usage(input_tokens=60_000, cache_read_tokens=60_000), 30_000 + 3_000),
        (Usage(input_tokens=1, cache_write_5m_tokens=100_000), 1 + 62_500),
        (Usage(input_tokens=1, cache_write_1h_tokens=100_000), 1 + 100_000),
        (Usage(input_tokens=200_000, output_tokens=1_000), 100_000 + 2_500),
        (Usage(output_tokens=200_000), 100_000),
    ],
)
def test_a_longer_prompt_has_haikus_higher_price_for_all_its_tokens(usage: Usage, micros: int) -> None:
    """What counts is the whole prompt, cached or not; a long answer changes nothing."""
    assert cost_usd_micros("claude-haiku-5-5", usage) == micros


@pytest.mark.parametrize(("tokens", "micros"), [(0, 0), (4, 0), (5, 1), (14, 1), (15, 2)])
def test_a_fraction_is_rounded_half_up(tokens: int, micros: int) -> None:
    """Haiku's input is a tenth of a micro-dollar a token."""
    assert cost_usd_micros("claude-haiku-5-5", Usage(input_tokens=tokens)) == micros


@pytest.mark.parametrize("model", ["gpt-unheard-of", "", "claude-haiku-99"])
def test_a_model_without_a_price_is_refused(model: str) -> None:
    """What cannot be paid for is no free lunch."""
    with pytest.raises(UnknownPrice) as caught:
        cost_usd_micros(model, Usage(input_tokens=1))
    assert caught.value.code == "unknown_price"
    assert not caught.value.transient


def test_a_provider_that_is_unknown_is_refused() -> None:
    """The same model elsewhere may cost something else."""
    with pytest.raises(UnknownPrice):
        PriceBook().of("claude-haiku-5-5", listed_as="nobody")


@given(usages, usages, st.sampled_from(["claude-haiku-5-5", *PRICES]))
def test_more_tokens_never_cost_less(one: Usage, more: Usage, model: str) -> None:
    """So a bound on tokens is a bound on money."""
    together = Usage(**{bucket: getattr(one, bucket) + getattr(more, bucket) for bucket in BUCKETS})
    cost = cost_usd_micros(model, one)
    assert 0 <= cost <= cost_usd_micros(model, together)
    assert isinstance(cost, int)
