"""Prompt caching: what is written, what is read, for how long, and what never is."""

from typing import Any

import anthropic
import pytest

from agentplatform.simulator.clock import SimulatedClock
from agentplatform.simulator.prefix_cache import PrefixCache
from agentplatform.simulator.validation import parse_messages_request
from tests.unit.conftest import RunningSimulator
from tests.unit.simulator.clients import MODELS, client_of
from tests.unit.simulator.prompts import ask

OPUS = "claude-opus-5-5"
MINUTES_5 = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
LONG = "The fox met a dog in town. " * 250


def text(content: str, cache_control: Any = None) -> Any:
    """A text block, a breakpoint if it has a `cache_control`."""
    block = {"type": "text", "text": content}
    return block if cache_control is None else {**block, "cache_control": cache_control}


def user(*blocks: Any) -> Any:
    """A user message of blocks."""
    return {"role": "user", "content": list(blocks)}


def call(client: Any, *, model: str = OPUS, **fields: Any) -> anthropic.types.Usage:
    """The usage of one call."""
    fields.setdefault("messages", [ask("Hi")])
    usage: anthropic.types.Usage = client.messages.create(model=model, max_tokens=20, **fields).usage
    return usage


def split(usage: anthropic.types.Usage) -> tuple[int, int, int]:
    """Tokens read, written for 5 minutes and written for an hour, whose sums the usage must agree with."""
    assert usage.cache_creation is not None
    five, hour = (
        usage.cache_creation.ephemeral_5m_input_tokens,
        usage.cache_creation.ephemeral_1h_input_tokens,
    )
    assert usage.cache_creation_input_tokens == five + hour
    return usage.cache_read_input_tokens or 0, five, hour


def test_a_prefix_is_written_then_read(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    """The three kinds of input add up to what a count says, both times."""
    fields: dict[str, Any] = {"system": [text(LONG, MINUTES_5)], "messages": [ask("What did the fox do?")]}
    counted = client.messages.count_tokens(model=OPUS, **fields).input_tokens
    first, again = call(client, **fields), call(client, **fields)
    read, written, _ = split(first)
    assert read == 0
    assert written > 1_024
    assert split(again) == (written, 0, 0)
    for usage in (first, again):
        assert usage.input_tokens + sum(split(usage)) == counted
    assert simulator.calls()["calls"][-1]["cache_read_input_tokens"] == written


def test_a_stream_reports_the_same(client: anthropic.Anthropic) -> None:
    """At its start and at its end."""
    fields: dict[str, Any] = {"system": [text(LONG + "streamed", MINUTES_5)]}
    written = split(call(client, **fields))[1]
    events = list(
        client.messages.create(model=OPUS, max_tokens=20, messages=[ask("Hi")], stream=True, **fields)
    )
    assert split(events[0].message.usage)[0] == written
    assert events[-2].usage.cache_read_input_tokens == written


def test_nothing_is_cached_without_a_breakpoint(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """However often it is sent."""
    for _ in range(2):
        assert split(call(client, system=LONG)) == (0, 0, 0)
    assert simulator.provider("anthropic")["cached_prefixes"] == 0


@pytest.mark.parametrize(
    ("model", "least"), [("claude-fable-5-2", 512), (OPUS, 1_024), ("claude-haiku-4-5", 4_096)]
)
def test_a_prefix_below_the_models_minimum_is_not_cached(
    client: anthropic.Anthropic, model: str, least: int
) -> None:
    """And costs nothing more; at the minimum it is."""
    short, enough = "x" * 4 * (least - 1), "x" * 4 * least
    assert split(call(client, model=model, system=[text(short, MINUTES_5)])) == (0, 0, 0)
    assert split(call(client, model=model, system=[text(enough, MINUTES_5)])) == (0, least, 0)


def test_a_prefix_must_be_the_same_to_the_byte_and_in_its_order(client: anthropic.Anthropic) -> None:
    """Tools come before the system prompt and that before messages: a change makes all behind it new."""
    tool = {"name": "t", "description": LONG, "input_schema": {"type": "object"}}
    tools: list[Any] = [{**tool, "cache_control": MINUTES_5}]
    system = [text(LONG, MINUTES_5)]
    messages = [user(text(LONG, MINUTES_5))]
    _, written, _ = split(call(client, tools=tools, system=system, messages=messages))
    part = split(call(client, tools=tools, system=[text(LONG + ".", MINUTES_5)], messages=messages))
    assert part[0] > 0
    assert part[0] + part[1] == pytest.approx(written, abs=1)
    assert split(call(client, tools=[{**tools[0], "description": LONG + "."}], system=system))[0] == 0
    moved = split(call(client, tools=tools, system=system, messages=messages, tool_choice={"type": "none"}))
    assert 0 < moved[0] < written, "a change of tool_choice leaves tools and system cached, and no message"


def test_entries_live_five_minutes_from_their_last_use(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """Each use renews them; then they are gone."""
    fields: dict[str, Any] = {"system": [text(LONG, MINUTES_5)]}
    written = split(call(client, **fields))[1]
    for _ in range(3):
        simulator.advance(290)
        assert split(call(client, **fields)) == (written, 0, 0)
    simulator.advance(301)
    assert split(call(client, **fields)) == (0, written, 0)


def test_an_hour_is_counted_apart_and_lasts_longer(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """An hour's breakpoint before one of five minutes: each keeps its own time."""
    fields: dict[str, Any] = {
        "system": [text(LONG, HOUR)],
        "messages": [user(text("Later. " * 200, MINUTES_5), text("Hi"))],
    }
    read, five, hour = split(call(client, **fields))
    assert (read, five > 0, hour > 1_024) == (0, True, True)
    simulator.advance(1_000)
    assert split(call(client, **fields)) == (hour, five, 0)
    simulator.advance(3_590)
    assert split(call(client, **fields)) == (hour, five, 0)
    simulator.advance(3_601)
    assert split(call(client, **fields)) == (0, five, hour)


def test_a_conversation_reads_what_its_last_turn_wrote(client: anthropic.Anthropic) -> None:
    """A breakpoint that moves on finds the one before it, up to 20 blocks back and no further."""
    start = text(LONG + "conversation", MINUTES_5)
    written = split(call(client, messages=[user(start)]))[1]
    for blocks, found in ((19, True), (20, False)):
        more = [text(f"{blocks} block {number}") for number in range(blocks - 1)]
        usage = call(client, messages=[user(text(LONG + "conversation"), *more, text("Hi", MINUTES_5))])
        assert (split(usage)[0] == written) is found, blocks


def test_a_breakpoint_for_the_whole_request_is_placed_on_its_last_block(client: anthropic.Anthropic) -> None:
    """Nothing is left uncached but the request's own overhead."""
    messages = [user(text(LONG + "automatic"), text("Hi"))]
    usage = call(client, messages=messages, cache_control=MINUTES_5)
    assert usage.input_tokens < 5
    assert split(call(client, messages=messages, cache_control=MINUTES_5))[0] == split(usage)[1]


def test_keys_models_and_providers_share_no_cache(simulator: RunningSimulator) -> None:
    """Each writes for itself."""
    system = [text(LONG + "apart", MINUTES_5)]
    for client, model in (
        (simulator.client(), OPUS),
        (simulator.client("another-key"), OPUS),
        (simulator.client(), "claude-sonnet-5-5"),
        *(
            (client_of(name, simulator), MODELS[name].replace("haiku", "opus"))
            for name in ("second", "bedrock", "vertex")
        ),
    ):
        read, written, _ = split(call(client, model=model, system=system))
        assert (read, written > 0) == (0, True), model
        assert split(call(client, model=model, system=system)) == (written, 0, 0)


def test_a_refused_call_writes_nothing(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    """The cache begins with the first answer."""
    simulator.fault(status=529, count=1)
    system = [text(LONG + "refused", MINUTES_5)]
    with pytest.raises(anthropic.OverloadedError):
        call(client, system=system)
    assert split(call(client, system=system))[0] == 0


def test_cache_reads_do_not_count_towards_the_input_limit(simulator: RunningSimulator) -> None:
    """One write fills the bucket; a hundred reads pass."""
    client = simulator.client()
    system = [text(LONG + "limited", MINUTES_5)]
    written = split(call(client, system=system))[1]
    simulator.set_provider("anthropic", rate_limits={"*": {"input_tokens": written // 2}})
    for _ in range(20):
        assert split(call(client, system=system))[0] == written
    with pytest.raises(anthropic.RateLimitError):
        call(client, system=[text(LONG + "new", MINUTES_5)])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"system": [text("x", {"type": "forever"})]},
            "system.0.cache_control.type: Input should be 'ephemeral'",
        ),
        ({"system": [text("x", {**MINUTES_5, "ttl": "2h"})]}, "system.0.cache_control.ttl: Input should be"),
        ({"system": [text("x", "yes")]}, "system.0.cache_control.type"),
        (
            {"system": [text("x", MINUTES_5)], "messages": [user(text("y", HOUR))]},
            "a ttl='1h' block must not come after a ttl='5m' block",
        ),
        (
            {"messages": [user(*[text("x", MINUTES_5)] * 4)], "cache_control": MINUTES_5},
            "A maximum of 4 blocks",
        ),
    ],
)
def test_a_breakpoint_that_makes_no_sense_is_refused(
    simulator: RunningSimulator, fields: dict[str, Any], message: str
) -> None:
    """400, the block named."""
    body = {"model": OPUS, "max_tokens": 5, "messages": [ask("Hi")], **fields}
    response = simulator.post("/v1/messages", body)
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]


def test_the_cache_is_bounded() -> None:
    """The least recently used entries make room."""
    cache = PrefixCache(SimulatedClock(), largest=3)
    requests = [
        parse_messages_request(
            {
                "model": OPUS,
                "max_tokens": 5,
                "system": [text(f"{number} {LONG}", MINUTES_5)],
                "messages": [ask("Hi")],
            },
            "2026-10-21",
        )
        for number in range(4)
    ]
    for request in requests[:3]:
        cache.commit("key", request)
    cache.commit("key", requests[0])
    cache.commit("key", requests[3])
    assert len(cache) == 3
    assert [cache.look_up("key", request).read > 0 for request in requests] == [True, False, True, True]
