"""Scripted faults: what they hit, what they do, and when they end."""

import time
from typing import Any

import anthropic
import httpx2
import pytest

from tests.unit.conftest import RunningSimulator
from tests.unit.simulator.prompts import LEASE_ANSWER, LEASE_PROMPT, ask

HAIKU = "claude-haiku-5-5"
DOCUMENTED = [
    (400, anthropic.BadRequestError, "invalid_request_error"),
    (401, anthropic.AuthenticationError, "authentication_error"),
    (402, anthropic.PaymentRequiredError, "billing_error"),
    (403, anthropic.PermissionDeniedError, "permission_error"),
    (404, anthropic.NotFoundError, "not_found_error"),
    (409, anthropic.ConflictError, "conflict_error"),
    (413, anthropic.ContentTooLargeError, "request_too_large"),
    (429, anthropic.RateLimitError, "rate_limit_error"),
    (500, anthropic.InternalServerError, "api_error"),
    (503, anthropic.ServiceUnavailableError, "api_error"),
    (504, anthropic.GatewayTimeoutError, "timeout_error"),
    (529, anthropic.OverloadedError, "overloaded_error"),
]


def send(client: anthropic.Anthropic, model: str = HAIKU) -> anthropic.types.Message:
    """One plain request."""
    return client.messages.create(model=model, max_tokens=100, messages=[ask(LEASE_PROMPT)])


@pytest.mark.parametrize(("status", "raised", "error_type"), DOCUMENTED)
def test_each_documented_error_reaches_the_sdk_as_its_own_kind(
    simulator: RunningSimulator,
    client: anthropic.Anthropic,
    status: int,
    raised: type[anthropic.APIStatusError],
    error_type: str,
) -> None:
    """Whole and streamed alike."""
    simulator.fault(status=status, count=2)
    with pytest.raises(raised) as whole:
        send(client)
    with (
        pytest.raises(raised),
        client.messages.stream(model=HAIKU, max_tokens=5, messages=[ask("Hi")]) as stream,
    ):
        stream.get_final_message()
    assert whole.value.status_code == status
    assert whole.value.type == error_type
    assert whole.value.request_id == whole.value.body["request_id"]
    assert send(client).content[0].text == LEASE_ANSWER


def test_a_fault_can_say_when_to_come_back_and_why(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """`retry-after`, the message, the error type and its code are the script's."""
    simulator.fault(status=429, retry_after=30, message="Slow down.", error_code="ramp_limit_exceeded")
    with pytest.raises(anthropic.RateLimitError) as caught:
        send(client)
    assert caught.value.response.headers["retry-after"] == "30"
    assert caught.value.api_message == "Slow down."
    assert caught.value.error_code == "ramp_limit_exceeded"


@pytest.mark.parametrize("code", ["enforced_spend_limit_reached", "contract_spend_limit_reached"])
def test_a_spend_limit_is_a_bad_request_that_says_until_when(
    simulator: RunningSimulator, client: anthropic.Anthropic, code: str
) -> None:
    """Its code alone scripts it: 400, and the date in its message."""
    simulator.fault(error_code=code, regain_access_on="2026-12-01")
    with pytest.raises(anthropic.APIStatusError) as caught:
        send(client)
    assert (caught.value.status_code, caught.value.type) == (400, "invalid_request_error")
    assert caught.value.error_code == code
    assert "You will regain access on 2026-12-01 at 00:00 UTC." in str(caught.value.api_message)


def test_a_ramp_limit_says_when_to_come_back(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """429 with its code and `retry-after`, which may be set."""
    simulator.fault(error_code="ramp_limit_exceeded", count=1)
    simulator.fault(error_code="ramp_limit_exceeded", retry_after=7, count=1)
    for seconds in ("60", "7"):
        with pytest.raises(anthropic.RateLimitError) as caught:
            send(client)
        assert caught.value.error_code == "ramp_limit_exceeded"
        assert caught.value.response.headers["retry-after"] == seconds


def test_a_fault_may_be_for_token_counts_alone(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """Messages go on."""
    simulator.fault(status=500, endpoint="count_tokens")
    assert send(client).stop_reason == "end_turn"
    with pytest.raises(anthropic.InternalServerError):
        client.messages.count_tokens(model=HAIKU, messages=[ask("Hi")])


def test_a_fault_hits_its_model_alone(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    """Other models go on."""
    simulator.fault(status=529, model="claude-opus-5-5")
    assert send(client).stop_reason == "end_turn"
    with pytest.raises(anthropic.OverloadedError):
        send(client, "claude-opus-5-5")


def test_a_fault_hits_its_provider_alone(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    """A key names its provider; any other is Anthropic's."""
    bedrock = simulator.client("provider-bedrock-secret")
    simulator.fault(status=500, provider="anthropic")
    assert send(bedrock).stop_reason == "end_turn"
    with pytest.raises(anthropic.InternalServerError):
        send(client)
    assert [call["provider"] for call in simulator.calls()["calls"]] == ["bedrock", "anthropic"]


def test_faults_with_counts_follow_each_other(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """In the order they were scripted, then all is well."""
    simulator.fault(status=429, count=2)
    simulator.fault(status=529, count=1)
    statuses = []
    for _ in range(4):
        try:
            send(client)
            statuses.append(200)
        except anthropic.APIStatusError as error:
            statuses.append(error.status_code)
    assert statuses == [429, 429, 529, 200]


def test_a_fault_ends_after_its_seconds(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    """And is listed with what is left of it until then."""
    simulator.fault(status=500, seconds=0.3)
    with pytest.raises(anthropic.InternalServerError):
        send(client)
    assert 0 < listed(simulator)[0]["remaining_seconds"] <= 0.3
    time.sleep(0.35)
    assert send(client).stop_reason == "end_turn"
    assert listed(simulator) == []


def test_a_delay_comes_before_the_first_byte(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """Of the headers too."""
    simulator.fault(delay_seconds=0.4, count=1)
    started = time.perf_counter()
    with client.messages.create(model=HAIKU, max_tokens=5, messages=[ask("Hi")], stream=True):
        assert time.perf_counter() - started >= 0.4


def test_a_broken_stream_is_cut_after_its_deltas(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """The client has what came, then a transport error; the log bills no more than that."""
    simulator.fault(break_stream_after=2, count=1)
    pieces: list[str] = []
    with (
        pytest.raises(httpx2.RemoteProtocolError),
        client.messages.stream(model=HAIKU, max_tokens=100, messages=[ask(LEASE_PROMPT)]) as stream,
    ):
        pieces.extend(stream.text_stream)
    assert len(pieces) == 2
    assert LEASE_ANSWER.startswith("".join(pieces))
    call = simulator.calls()["calls"][-1]
    assert (call["status"], call["outcome"]) == (200, "cut")
    assert 0 < call["output_tokens"] < -(-len(LEASE_ANSWER) // 4)


def test_a_break_hits_a_whole_answer_as_a_connection_error(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """There are no deltas to count, so it breaks within the body."""
    simulator.fault(break_stream_after=5, count=1)
    with pytest.raises((anthropic.APIConnectionError, httpx2.RemoteProtocolError)):
        send(client)


def test_an_error_can_come_in_mid_stream_under_200(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """As an `error` event, which the SDK raises with its type."""
    simulator.fault(stream_error_after=1, error_type="overloaded_error", count=1)
    with client.messages.stream(model=HAIKU, max_tokens=100, messages=[ask(LEASE_PROMPT)]) as stream:
        assert stream.response.status_code == 200
        with pytest.raises(anthropic.APIStatusError) as caught:
            stream.get_final_message()
    assert caught.value.type == "overloaded_error"


def test_a_mid_stream_error_is_a_plain_error_for_a_whole_answer(
    simulator: RunningSimulator, client: anthropic.Anthropic
) -> None:
    """There is no stream to send it in."""
    simulator.fault(stream_error_after=1, count=1)
    with pytest.raises(anthropic.OverloadedError):
        send(client)


def test_deleting_clears_all_faults(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    """The list is empty and calls succeed."""
    simulator.fault(status=500)
    assert [fault["status"] for fault in listed(simulator)] == [500]
    assert simulator.http.delete(f"{simulator.url}/_control/faults").status_code == 204
    assert listed(simulator) == []
    assert send(client).stop_reason == "end_turn"


def test_a_token_count_is_not_hit(simulator: RunningSimulator, client: anthropic.Anthropic) -> None:
    """A fault's count is spent on messages alone."""
    scripted = simulator.fault(status=500, count=1)
    client.messages.count_tokens(model=HAIKU, messages=[ask("Hi")])
    assert listed(simulator)[0]["remaining_count"] == scripted["remaining_count"] == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"status": 500, "colour": "red"}, "colour: unknown field"),
        ({}, "The fault does nothing"),
        ({"count": 3}, "The fault does nothing"),
        ({"status": 200}, "status: Input should be an HTTP error status"),
        ({"status": "500"}, "status: Input should be an integer"),
        ({"status": 500, "count": 0}, "count: Input should be an integer of at least 1"),
        ({"delay_seconds": -1}, "delay_seconds: Input should be a number of seconds from 0 to 86400"),
        ({"break_stream_after": True}, "break_stream_after: Input should be an integer"),
        ({"status": 500, "model": 3}, "model: Input should be a non-empty, printable string"),
        ({"delay_seconds": 1, "retry_after": 3}, "retry_after: needs status or stream_error_after"),
        (
            {"status": 500, "endpoint": "files"},
            "endpoint: Input should be one of messages, count_tokens, batches",
        ),
        (
            {"status": 400, "regain_access_on": "2026-12-01"},
            "regain_access_on: needs the error_code of a spend",
        ),
        (
            {"error_code": "enforced_spend_limit_reached", "regain_access_on": "soon"},
            "regain_access_on: Input should be a date",
        ),
    ],
)
def test_a_script_that_makes_no_sense_is_refused(
    simulator: RunningSimulator, fields: dict[str, Any], message: str
) -> None:
    """400, and nothing is scripted."""
    response = simulator.http.post(f"{simulator.url}/_control/faults", json=fields)
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]
    assert listed(simulator) == []


def listed(simulator: RunningSimulator) -> list[dict[str, Any]]:
    """The faults in force."""
    faults: list[dict[str, Any]] = simulator.http.get(f"{simulator.url}/_control/faults").json()["faults"]
    return faults
