"""The contract with the SDK: every endpoint, every error and every stop reason it knows, over HTTP.

The client validates each response strictly against the SDK's own types.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import anthropic
import pytest
from anthropic.types import shared

from tests.unit.conftest import RunningSimulator
from tests.unit.simulator.prompts import LEASE_ANSWER, LEASE_PROMPT, ask

HAIKU = "claude-haiku-5-5"
TOOL: Any = {
    "name": "search",
    "input_schema": {"type": "object", "properties": {"query": {"type": "string"}}},
}


@pytest.fixture
def strict(simulator: RunningSimulator) -> Iterator[anthropic.Anthropic]:
    """A client that raises for a response its types do not allow."""
    simulator.set_provider("anthropic", batches={"seconds": 0})
    with anthropic.Anthropic(
        api_key="k", base_url=simulator.url, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


def _batch(client: anthropic.Anthropic) -> Any:
    """A batch of one, which ends at once."""
    params: Any = {"model": HAIKU, "max_tokens": 50, "messages": [ask(LEASE_PROMPT)]}
    batch = client.messages.batches.create(requests=[{"custom_id": "one", "params": params}])
    while client.messages.batches.retrieve(batch.id).processing_status != "ended":
        pass
    return batch


ENDPOINTS: dict[str, Callable[[anthropic.Anthropic], Any]] = {
    "POST /v1/messages": lambda client: client.messages.create(
        model=HAIKU, max_tokens=50, messages=[ask(LEASE_PROMPT)]
    ),
    "POST /v1/messages/count_tokens": lambda client: client.messages.count_tokens(
        model=HAIKU, messages=[ask("Hi")]
    ),
    "POST /v1/messages/batches": _batch,
    "GET /v1/messages/batches": lambda client: (_batch(client), client.messages.batches.list())[1],
    "GET /v1/messages/batches/{id}": lambda client: client.messages.batches.retrieve(_batch(client).id),
    "DELETE /v1/messages/batches/{id}": lambda client: client.messages.batches.delete(_batch(client).id),
    "GET /v1/models": lambda client: client.models.list(),
    "GET /v1/models/{id}": lambda client: client.models.retrieve(HAIKU),
    "GET /v1/organizations/rate_limits": lambda client: client.organization.rate_limits.list(),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_endpoint_answers_in_the_sdks_types(strict: anthropic.Anthropic, endpoint: str) -> None:
    """No field missing, none of another type."""
    answered = ENDPOINTS[endpoint](strict)
    assert answered.model_dump(exclude_none=True)


def test_a_cancel_and_the_results_answer_in_the_sdks_types(
    simulator: RunningSimulator, strict: anthropic.Anthropic
) -> None:
    """The two endpoints that need a batch at a certain time of its life."""
    (line,) = strict.messages.batches.results(_batch(strict).id)
    assert line.result.message.content[0].text == LEASE_ANSWER
    simulator.set_provider("anthropic", batches={"seconds": 60})
    params: Any = {"model": HAIKU, "max_tokens": 50, "messages": [ask("Hi")]}
    batch = strict.messages.batches.create(requests=[{"custom_id": "one", "params": params}])
    assert strict.messages.batches.cancel(batch.id).processing_status == "canceling"


def test_every_event_of_a_stream_answers_in_the_sdks_types(strict: anthropic.Anthropic) -> None:
    """Text and tools; the helper accumulates what was sent."""
    with strict.messages.stream(model=HAIKU, max_tokens=50, messages=[ask(LEASE_PROMPT)]) as stream:
        kinds = {event.type for event in stream}
    assert {"message_start", "content_block_start", "content_block_delta", "message_delta"} <= kinds
    with strict.messages.stream(
        model=HAIKU, max_tokens=99, tools=[TOOL], tool_choice={"type": "any"}, messages=[ask("Find leases")]
    ) as stream:
        assert stream.get_final_message().stop_reason == "tool_use"


def test_a_stream_pings_and_its_usage_is_cumulative(simulator: RunningSimulator) -> None:
    """As raw events: a `ping` the SDK hides, and output tokens that do not go down."""
    body = {"model": HAIKU, "max_tokens": 50, "messages": [ask(LEASE_PROMPT)], "stream": True}
    text = simulator.post("/v1/messages", body).text
    names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert names.index("message_start") < names.index("ping") < names.index("message_stop")
    events = list(
        simulator.client().messages.create(
            model=HAIKU, max_tokens=50, messages=[ask(LEASE_PROMPT)], stream=True
        )
    )
    started, closed = events[0].message.usage.output_tokens, events[-2].usage.output_tokens
    assert started < closed == -(-len(LEASE_ANSWER) // 4)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "end_turn"),
        ({"max_tokens": 3}, "max_tokens"),
        ({"stop_sequences": ["every"]}, "stop_sequence"),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}}, "tool_use"),
    ],
)
def test_an_answer_stops_for_the_reason_the_request_gives(
    strict: anthropic.Anthropic, fields: dict[str, Any], reason: str
) -> None:
    """The four that a request can bring about."""
    request = {"model": HAIKU, "max_tokens": 99, "messages": [ask(LEASE_PROMPT)], **fields}
    assert strict.messages.create(**request).stop_reason == reason


@pytest.mark.parametrize("reason", ["refusal", "pause_turn", "model_context_window_exceeded"])
def test_an_answer_can_be_made_to_stop_for_any_reason(
    simulator: RunningSimulator, strict: anthropic.Anthropic, reason: str
) -> None:
    """Whole and streamed; a refusal says nothing, and why."""
    simulator.fault(stop_reason=reason, count=2)
    whole = strict.messages.create(model=HAIKU, max_tokens=99, messages=[ask(LEASE_PROMPT)])
    with strict.messages.stream(model=HAIKU, max_tokens=99, messages=[ask(LEASE_PROMPT)]) as stream:
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        assert message.stop_reason == reason
        assert (message.content == []) is (reason == "refusal")
        assert (message.stop_details is not None) is (reason == "refusal")


def test_an_answer_ends_where_the_context_window_does(strict: anthropic.Anthropic) -> None:
    """A prompt that nearly fills the window leaves room for a few tokens."""
    model = "claude-haiku-4-5"
    prompt = f"Repeat.\n<document>{'The lease is renewed by its worker. ' * 22_200}</document>"
    counted = strict.messages.count_tokens(model=model, messages=[ask(prompt)]).input_tokens
    assert counted < 200_000
    padded = prompt + "." * (4 * (199_998 - counted))
    message = strict.messages.create(model=model, max_tokens=1_000, messages=[ask(padded)])
    assert message.stop_reason == "model_context_window_exceeded"
    assert message.usage.input_tokens + message.usage.output_tokens <= 200_000


def test_the_sdk_refuses_by_itself_what_may_take_over_ten_minutes(
    simulator: RunningSimulator, strict: anthropic.Anthropic
) -> None:
    """Above 21,333 tokens it wants a stream or a timeout; nothing is sent."""
    request: dict[str, Any] = {"model": HAIKU, "messages": [ask("Hi")]}
    with pytest.raises(ValueError, match="Streaming is required"):
        strict.messages.create(max_tokens=21_334, **request)
    assert simulator.calls()["total"] == 0
    assert strict.messages.create(max_tokens=21_333, **request).stop_reason
    assert strict.messages.create(max_tokens=21_334, timeout=900, **request).stop_reason
    with strict.messages.stream(max_tokens=100_000, **request) as stream:
        assert stream.get_final_message().stop_reason


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
def test_sampling_is_gone_from_the_version_the_sdk_sends(strict: anthropic.Anthropic, name: str) -> None:
    """The SDK has no such argument, and a body that carries one is a 400 even at its default."""
    request: Any = {"model": HAIKU, "max_tokens": 5, "messages": [ask("Hi")]}
    with pytest.raises(TypeError):
        strict.messages.create(**request, **{name: 1})
    with pytest.raises(
        anthropic.BadRequestError, match=f"{name}: not supported under anthropic-version 2026-10-21"
    ):
        strict.messages.create(**request, extra_body={name: 1})


def test_every_response_carries_its_request_id(
    simulator: RunningSimulator, strict: anthropic.Anthropic
) -> None:
    """Answers, errors and the errors' bodies alike; never the same."""
    answered = strict.messages.create(model=HAIKU, max_tokens=5, messages=[ask("Hi")])._request_id
    counted = strict.messages.count_tokens(model=HAIKU, messages=[ask("Hi")])._request_id
    with pytest.raises(anthropic.NotFoundError) as missing:
        strict.messages.batches.retrieve("msgbatch_none")
    ids = {answered, counted, missing.value.request_id}
    assert len(ids) == 3
    assert all(each and each.startswith("req_") for each in ids)
    assert missing.value.body["request_id"] == missing.value.request_id


@pytest.mark.parametrize(
    ("code", "status", "raised"),
    [
        ("ramp_limit_exceeded", 429, shared.RampLimitExceededError),
        ("enforced_spend_limit_reached", 429, shared.EnforcedSpendLimitReachedError),
        ("contract_spend_limit_reached", 429, shared.ContractSpendLimitReachedError),
        ("ramp_limit_exceeded", None, shared.RampLimitExceededError),
        ("enforced_spend_limit_reached", None, anthropic.BadRequestError),
        ("contract_spend_limit_reached", None, anthropic.BadRequestError),
    ],
)
def test_an_error_code_reaches_the_client_whatever_its_status(
    simulator: RunningSimulator,
    strict: anthropic.Anthropic,
    code: str,
    status: int | None,
    raised: type[anthropic.APIStatusError],
) -> None:
    """Spend limits come as 400 unless scripted otherwise, and the SDK's types would have them as 429."""
    simulator.fault(error_code=code, **({} if status is None else {"status": status}))
    with pytest.raises(raised) as caught:
        strict.messages.create(model=HAIKU, max_tokens=5, messages=[ask("Hi")])
    assert caught.value.error_code == code
    assert caught.value.status_code == (status or (429 if code == "ramp_limit_exceeded" else 400))


def test_a_retry_after_parks_a_client_that_retries_by_itself(simulator: RunningSimulator) -> None:
    """The SDK waits as long as it is told: so retries are best left to the caller."""
    simulator.fault(status=429, retry_after=1, count=1)
    with anthropic.Anthropic(api_key="k", base_url=simulator.url, max_retries=1) as patient:
        assert patient.messages.create(model=HAIKU, max_tokens=5, messages=[ask("Hi")]).stop_reason
    first, second = simulator.calls()["calls"]
    assert (first["status"], second["status"]) == (429, 200)
    waited = datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"])
    assert waited >= timedelta(seconds=1)
