"""Streams as the SDK sees them: the order of events, cumulative usage, pace and disconnects."""

import time
from datetime import UTC, datetime

import anthropic

from tests.unit.conftest import RunningSimulator
from tests.unit.simulator.prompts import LEASE_ANSWER, LEASE_PROMPT, ask

HAIKU = "claude-haiku-5-5"


def test_a_stream_has_the_events_of_the_api_in_order(simulator: RunningSimulator) -> None:
    """Seen on the wire, since the SDK hides pings."""
    body = {"model": HAIKU, "max_tokens": 100, "messages": [ask(LEASE_PROMPT)], "stream": True}
    response = simulator.post("/v1/messages", body)
    assert response.headers["content-type"].startswith("text/event-stream")
    names = [line.removeprefix("event: ") for line in response.text.splitlines() if line.startswith("event")]
    deltas = names.count("content_block_delta")
    assert deltas >= 3
    assert names == [
        "message_start",
        "ping",
        "content_block_start",
        *["content_block_delta"] * deltas,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_a_stream_adds_up_to_the_whole_message(client: anthropic.Anthropic) -> None:
    """Deltas joined are the text of the same request unstreamed, with the same usage and stop reason."""
    request = {"model": HAIKU, "max_tokens": 100, "messages": [ask(LEASE_PROMPT)]}
    whole = client.messages.create(**request)
    with client.messages.stream(**request) as stream:
        pieces = list(stream.text_stream)
        streamed = stream.get_final_message()
    assert "".join(pieces) == whole.content[0].text == LEASE_ANSWER
    assert len(pieces) >= 3
    assert streamed.stop_reason == whole.stop_reason
    assert streamed.usage.input_tokens == whole.usage.input_tokens
    assert streamed.usage.output_tokens == whole.usage.output_tokens


def test_usage_in_a_stream_is_cumulative(client: anthropic.Anthropic) -> None:
    """The start reports the input, the end the whole output."""
    events = list(
        client.messages.create(model=HAIKU, max_tokens=100, messages=[ask(LEASE_PROMPT)], stream=True)
    )
    start, end = events[0], events[-2]
    assert start.type == "message_start"
    assert start.message.content == []
    assert start.message.usage.output_tokens == 1
    assert end.type == "message_delta"
    assert end.usage.output_tokens == -(-len(LEASE_ANSWER) // 4)
    assert end.usage.input_tokens == start.message.usage.input_tokens


def test_a_stream_that_reaches_max_tokens_says_so(client: anthropic.Anthropic) -> None:
    """The stop reason comes with the last delta."""
    with client.messages.stream(model=HAIKU, max_tokens=4, messages=[ask(LEASE_PROMPT)]) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 4


def test_a_tool_call_is_streamed_as_partial_json(client: anthropic.Anthropic) -> None:
    """The SDK puts the input together from its pieces."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"name": "get_weather", "description": "Weather of a city", "input_schema": schema}
    with client.messages.stream(
        model=HAIKU, max_tokens=100, messages=[ask("What is the weather in Paris?")], tools=[tool]
    ) as stream:
        kinds = [event.delta.type for event in stream if event.type == "content_block_delta"]
        message = stream.get_final_message()
    assert set(kinds) == {"input_json_delta"}
    assert message.content[0].input == {"city": "Paris"}
    assert message.stop_reason == "tool_use"


def test_a_stream_arrives_over_time_and_more_slowly_from_a_powerful_model(
    slow_simulator: RunningSimulator,
) -> None:
    """First text after the time to the first token, last text later still; opus takes longer than haiku."""
    haiku, opus = _timed(slow_simulator, HAIKU), _timed(slow_simulator, "claude-opus-5-5")
    for first, last in (haiku, opus):
        assert 0.03 < first <= last
    assert haiku[1] < opus[1]


def test_a_request_takes_the_same_time_again(slow_simulator: RunningSimulator) -> None:
    """Latency is drawn from the seed and the request alone."""
    durations = [_timed(slow_simulator, HAIKU)[1] for _ in range(2)]
    assert abs(durations[0] - durations[1]) < 0.1


def test_the_log_says_when_the_first_token_was_sent(simulator: RunningSimulator) -> None:
    """After what came before it, and before the client has it; a whole answer has none."""
    simulator.fault(delay_seconds=0.2)
    began_at = datetime.now(UTC)
    _timed(simulator, HAIKU)
    (call,) = simulator.calls()["calls"]
    sent_at = datetime.fromisoformat(call["first_token_at"])
    assert (sent_at - began_at).total_seconds() >= 0.2
    assert sent_at < datetime.now(UTC)
    simulator.client().messages.create(model=HAIKU, max_tokens=10, messages=[ask("Hi")])
    assert simulator.calls()["calls"][-1]["first_token_at"] is None


def test_a_client_that_leaves_is_noticed(slow_simulator: RunningSimulator) -> None:
    """The call ends as a disconnect at once, billed for what it was sent."""
    prompt = (
        "Summarise in 12 sentences.\n<document>"
        + "The quick fox met a slow dog in town. " * 40
        + "</document>"
    )
    with slow_simulator.client().messages.stream(
        model="claude-opus-5-5", max_tokens=4000, messages=[ask(prompt)]
    ) as stream:
        next(stream.text_stream)
    call = _wait_for_the_call(slow_simulator)
    assert call["outcome"] == "client_disconnected"
    assert call["output_tokens"] < 100


def test_a_client_that_leaves_before_the_first_byte_is_noticed(simulator: RunningSimulator) -> None:
    """Nothing keeps waiting for a caller that has gone."""
    simulator.fault(delay_seconds=60)
    client = simulator.client().with_options(timeout=0.2)
    try:
        client.messages.create(model=HAIKU, max_tokens=10, messages=[ask("Hi")])
    except anthropic.APITimeoutError:
        call = _wait_for_the_call(simulator)
        assert (call["status"], call["outcome"]) == (499, "client_disconnected")
        assert simulator.calls()["in_flight"] == 0
    else:
        raise AssertionError("the call should have timed out")


def _timed(simulator: RunningSimulator, model: str) -> tuple[float, float]:
    started = time.perf_counter()
    with simulator.client().messages.stream(
        model=model, max_tokens=100, messages=[ask(LEASE_PROMPT)]
    ) as stream:
        arrivals = [time.perf_counter() - started for _ in stream.text_stream]
    return arrivals[0], arrivals[-1]


def _wait_for_the_call(simulator: RunningSimulator) -> dict[str, object]:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        calls = simulator.calls()["calls"]
        if calls and calls[-1]["status"] is not None:
            return calls[-1]
        time.sleep(0.02)
    raise AssertionError("the call did not end")
