"""Token buckets: what is refused, what the headers say, and that no minute was ever above a limit."""

import contextlib
import random
from datetime import UTC, datetime, timedelta

import anthropic
import pytest

from agentplatform.simulator.clock import SimulatedClock
from agentplatform.simulator.errors import ApiError
from agentplatform.simulator.rate_buckets import RateLimit, TokenBucket
from agentplatform.simulator.rate_limiter import RateLimiter
from agentplatform.simulator.sliding_window import SlidingWindow
from tests.unit.conftest import RunningSimulator
from tests.unit.simulator.clients import MODELS, bedrock, second, vertex
from tests.unit.simulator.prompts import LEASE_PROMPT, ask

HAIKU = "claude-haiku-5-5"


def send(client: anthropic.Anthropic, model: str = HAIKU, max_tokens: int = 50) -> anthropic.types.Message:
    """One request."""
    return client.messages.create(model=model, max_tokens=max_tokens, messages=[ask(LEASE_PROMPT)])


def test_nothing_is_refused_without_limits(simulator: RunningSimulator) -> None:
    """Headers say what a large organisation would have left; requests are counted all the same."""
    response = simulator.client().messages.with_raw_response.create(
        model=HAIKU, max_tokens=5, messages=[ask("Hi")]
    )
    assert response.headers["anthropic-ratelimit-requests-limit"] == "4000"
    assert simulator.provider("anthropic")["rates"]["haiku"]["most_accepted_in_60_seconds"] == 1


def test_requests_beyond_the_limit_are_refused_until_the_bucket_fills(simulator: RunningSimulator) -> None:
    """429 with `retry-after`; who waits that long is served, and no sooner."""
    simulator.set_provider("second", rate_limits={"*": {"requests": 3}})
    client = second(simulator)
    for _ in range(3):
        send(client)
    with pytest.raises(anthropic.RateLimitError) as caught:
        send(client)
    headers = caught.value.response.headers
    assert headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert 19 <= int(headers["retry-after"]) <= 20
    assert "3 requests per minute for haiku models" in str(caught.value.api_message)
    simulator.advance(int(headers["retry-after"]) - 5)
    with pytest.raises(anthropic.RateLimitError):
        send(client)
    simulator.advance(5)
    assert send(client).stop_reason
    rates = simulator.provider("second")["rates"]["haiku"]
    assert (rates["accepted"], rates["refused"]) == (4, 2)
    assert (rates["most_accepted_in_60_seconds"], rates["most_received_in_60_seconds"]) == (4, 6)


def test_families_keys_and_providers_have_buckets_of_their_own(simulator: RunningSimulator) -> None:
    """Models of one family share one; a family may have its own limit."""
    simulator.set_provider("anthropic", rate_limits={"*": {"requests": 1}, "sonnet": {"requests": 2}})
    one, other = simulator.client(), simulator.client("another-key")
    send(one)
    with pytest.raises(anthropic.RateLimitError):
        send(one, "claude-haiku-4-5")
    assert [send(one, model).type for model in ("claude-sonnet-5", "claude-sonnet-5-5")] == ["message"] * 2
    assert send(other).type == send(second(simulator)).type == "message"


def test_input_tokens_are_limited_and_told(simulator: RunningSimulator) -> None:
    """What is left goes down by what was sent; a request that never fits says so."""
    client = second(simulator)
    tokens = client.messages.count_tokens(model=HAIKU, messages=[ask(LEASE_PROMPT)]).input_tokens
    simulator.set_provider("second", rate_limits={"haiku": {"input_tokens": 2 * tokens + 10}})
    response = client.messages.with_raw_response.create(
        model=HAIKU, max_tokens=50, messages=[ask(LEASE_PROMPT)]
    )
    assert response.headers["anthropic-ratelimit-input-tokens-limit"] == str(2 * tokens + 10)
    assert tokens + 10 <= int(response.headers["anthropic-ratelimit-input-tokens-remaining"]) <= tokens + 20
    assert "anthropic-ratelimit-requests-limit" not in response.headers
    send(client)
    with pytest.raises(anthropic.RateLimitError, match="input tokens per minute"):
        send(client)
    with pytest.raises(anthropic.RateLimitError, match="never be accepted"):
        client.messages.create(model=HAIKU, max_tokens=5, messages=[ask(LEASE_PROMPT * 3)])


def test_output_is_charged_as_it_was_produced(simulator: RunningSimulator) -> None:
    """`max_tokens` does not count; an overdrawn bucket refuses until it has something again."""
    simulator.set_provider("second", rate_limits={"*": {"output_tokens": 10}})
    client = second(simulator)
    used = send(client, max_tokens=4000).usage.output_tokens
    assert used > 10
    with pytest.raises(anthropic.RateLimitError, match="output tokens per minute") as caught:
        send(client)
    waited = int(caught.value.response.headers["retry-after"])
    assert waited == pytest.approx((used - 10 + 1) * 6, abs=1)
    simulator.advance(waited)
    assert send(client).stop_reason


def test_the_headers_say_when_each_bucket_is_full_again(simulator: RunningSimulator) -> None:
    """RFC 3339 times; `tokens` sums input and output."""
    limits = {"requests": 60, "input_tokens": 6_000, "output_tokens": 600}
    simulator.set_provider("second", rate_limits={"*": limits})
    response = second(simulator).messages.with_raw_response.create(
        model=HAIKU, max_tokens=50, messages=[ask(LEASE_PROMPT)]
    )
    headers = response.headers
    assert headers["anthropic-ratelimit-tokens-limit"] == "6600"
    now = datetime.fromisoformat(simulator.http.get(f"{simulator.url}/_control/clock").json()["now"])
    for kind in ("requests", "input-tokens", "output-tokens", "tokens"):
        reset_at = datetime.fromisoformat(headers[f"anthropic-ratelimit-{kind}-reset"])
        assert timedelta(seconds=-1) < reset_at - now < timedelta(seconds=61)
        assert reset_at.tzinfo == UTC
    assert headers["anthropic-ratelimit-requests-remaining"] == "59"
    assert headers["anthropic-ratelimit-output-tokens-remaining"] == "600", "headers leave before the output"


def test_bedrock_and_vertex_refuse_in_their_own_way(simulator: RunningSimulator) -> None:
    """429 as ThrottlingException and RESOURCE_EXHAUSTED."""
    for name, client in (("bedrock", bedrock(simulator)), ("vertex", vertex(simulator))):
        simulator.set_provider(name, rate_limits={"*": {"requests": 1}})
        client.messages.create(model=MODELS[name], max_tokens=5, messages=[ask("Hi")])
        with pytest.raises(anthropic.RateLimitError) as caught:
            client.messages.create(model=MODELS[name], max_tokens=5, messages=[ask("Hi")])
        assert int(caught.value.response.headers["retry-after"]) > 0


def test_a_bucket_with_a_short_burst_holds_every_minute_near_its_limit() -> None:
    """With a full one, twice the limit may pass in a minute: that is what the algorithm allows."""
    for burst_seconds, most in ((60.0, 120), (1.0, 61)):
        clock = ManualClock()
        limiter = RateLimiter(clock, {"*": RateLimit(requests=60, burst_seconds=burst_seconds)})
        for _ in range(600):
            clock.advance(0.2)
            try_to_pass(limiter)
        rates = limiter.as_json()["haiku"]
        assert most - 1 <= rates["most_accepted_in_60_seconds"] <= most
        assert rates["refused"] > 0


def test_the_largest_minute_is_exact() -> None:
    """The same as counting every window that ends with an arrival, for arrivals at random."""
    generator = random.Random(5)
    window, arrivals, now = SlidingWindow(), [], 0.0
    for _ in range(2_000):
        now += generator.expovariate(0.5)
        amount = generator.randint(1, 9)
        window.add(amount, now)
        arrivals.append((now, amount))
    counted = max(sum(n for at, n in arrivals if end - 60 < at <= end) for end, _ in arrivals)
    assert window.largest == counted


def test_a_bucket_never_holds_more_than_its_capacity() -> None:
    """Nor gives anything for time that has not passed."""
    bucket = TokenBucket(60, 60.0, now=0.0)
    assert bucket.level(1_000.0) == 60
    bucket.take(60, 1_000.0)
    assert bucket.seconds_until(1, 1_000.0) == pytest.approx(1.0, abs=1e-3)
    assert bucket.level(999.0) == 0
    assert bucket.level(1_030.0) == pytest.approx(30)


class ManualClock(SimulatedClock):
    """A clock that moves when told and not otherwise."""

    def monotonic(self) -> float:
        """Seconds it was advanced by."""
        return self.advanced_seconds


def try_to_pass(limiter: RateLimiter) -> None:
    """One request, refused or not."""
    with contextlib.suppress(ApiError):
        limiter.admit("key", "haiku", 10)


def test_the_organisation_lists_its_limits_by_family(simulator: RunningSimulator) -> None:
    """Those in force, or those of a large organisation; by type, by model, in pages."""
    client = second(simulator)
    simulator.set_provider("second", rate_limits={"haiku": {"requests": 600, "input_tokens": 50_000}})
    entries = list(client.organization.rate_limits.list(limit=2))
    assert [entry.group.type for entry in entries] == ["model_group"] * 5 + ["batch"]
    (haiku,) = client.organization.rate_limits.list(model="claude-haiku-4-5").data
    assert {limit.type: limit.value for limit in haiku.limits} == {
        "requests_per_minute": 600,
        "input_tokens_per_minute_cache_aware": 50_000,
    }
    assert haiku.models is not None
    assert HAIKU in haiku.models
    (sonnet,) = client.organization.rate_limits.list(model="claude-sonnet-5-5").data
    assert sonnet.limits[0].value == 4_000
    (batch,) = client.organization.rate_limits.list(group_type="batch").data
    assert batch.models is None
    with pytest.raises(anthropic.NotFoundError):
        client.organization.rate_limits.list(model="claude-nothing")
