"""When a prefix is written to a provider's prompt cache, and that it is read from there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentplatform.llm.catalogue import DEFAULT_CATALOGUE
from agentplatform.llm.gateway import Gateway
from agentplatform.llm.journal import StepJournal
from agentplatform.llm.messages import ModelRequest
from agentplatform.llm.prompt_caching import cache_ttl, prefix_hash
from agentplatform.llm.providers.parameters import parameters_of
from agentplatform.llm.tiers import Tier
from tests.unit.conftest import RunningSimulator
from tests.unit.llm.conftest import context, request

LONG = "You answer from the handbook. " * 500
TOOLS = ({"name": "look_up", "description": "Looks up.", "input_schema": {"type": "object"}},)


def with_prefix(system: str = LONG, shared: str = "") -> ModelRequest:
    return replace(request(tier=Tier.BALANCED), system=system, shared_context=shared)


def test_only_a_prefix_that_is_long_enough_for_the_model_has_a_hash() -> None:
    """And it is that of tools, system and shared context, not of what is asked."""
    assert prefix_hash(with_prefix("Short."), 1_024) == ""
    one, other = with_prefix(), replace(with_prefix(), messages=({"role": "user", "content": "Else?"},))
    assert prefix_hash(one, 1_024) == prefix_hash(other, 1_024) != ""
    assert prefix_hash(one, 1_024) != prefix_hash(replace(one, tools=TOOLS), 1_024)
    assert prefix_hash(one, 100_000) == ""


@pytest.mark.parametrize(
    ("shared", "seen", "queue", "ttl"),
    [
        ("", None, "standard", ""),
        ("", 10.0, "standard", "5m"),
        ("", 250.0, "standard", "1h"),
        ("", 10.0, "batch", "1h"),
        ("", 4_000.0, "standard", ""),
        ("A report.", None, "standard", "5m"),
        ("A report.", None, "batch", "1h"),
    ],
)
def test_a_prefix_is_written_when_it_is_likely_to_be_read(
    shared: str, seen: float | None, queue: str, ttl: str
) -> None:
    """For an hour where five minutes would be over by then."""
    asked = with_prefix(shared=shared)
    assert cache_ttl(asked, prefix="hash", seen_seconds_ago=seen, queue=queue) == ttl
    assert cache_ttl(asked, prefix="", seen_seconds_ago=seen, queue=queue) == ""


def test_breakpoints_end_tools_system_and_shared_context() -> None:
    """No more than four, and none without a time to live."""
    asked = replace(with_prefix(shared="A report."), tools=TOOLS)
    plain = parameters_of(asked, "m")
    assert "cache_control" not in str(plain)
    assert plain["messages"][0]["content"][0] == {"type": "text", "text": "A report."}
    marked = parameters_of(replace(asked, prompt_cache_ttl="1h"), "m")
    mark = {"type": "ephemeral", "ttl": "1h"}
    assert marked["tools"][-1]["cache_control"] == mark
    assert marked["system"][-1]["cache_control"] == mark
    assert marked["messages"][0]["content"][0]["cache_control"] == mark
    assert str(marked).count("cache_control") == 3


def test_what_is_shared_is_written_once_and_read_after_that(
    gateway: Gateway, journal: StepJournal, simulator: RunningSimulator
) -> None:
    """At the price of each; the worst case of a write was allowed for."""
    model = gateway.for_step(journal)
    report = "Revenue grew by a tenth, and costs by a fifth. " * 300
    usages = []
    for number in range(3):
        asked = replace(request(f"Question {number}?", tier=Tier.BALANCED), shared_context=report)
        usages.append(model.complete(asked, context()).usage)
    journal.flush()
    assert usages[0].cache_write_5m_tokens > 1_024
    assert usages[0].cache_read_tokens == 0
    for usage in usages[1:]:
        assert usage.cache_read_tokens == usages[0].cache_write_5m_tokens
        assert usage.cache_write_5m_tokens == 0
    prices = DEFAULT_CATALOGUE.prices.of("claude-sonnet-5-5")
    assert prices.cost_usd_micros(usages[1]) < prices.cost_usd_micros(usages[0]) / 3
