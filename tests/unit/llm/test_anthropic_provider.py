"""The adapter over real HTTP: answers, errors, broken connections, deadlines and interruption."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from agentplatform.llm.errors import Interrupted, ModelError
from agentplatform.llm.messages import Usage
from agentplatform.llm.model import CallContext
from agentplatform.llm.providers.anthropic import AnthropicModel
from tests.unit.conftest import RunningSimulator
from tests.unit.llm.conftest import context, provider_at, request

AT_ONCE_SECONDS = 0.5


def failure(provider: AnthropicModel, of: CallContext | None = None) -> ModelError:
    """The error that a call ends with."""
    with pytest.raises(ModelError) as caught:
        provider.complete(request(), of or context())
    return caught.value


def wait_for(condition: Callable[[], object]) -> None:
    """Returns as soon as the condition holds."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_answer_comes_with_its_usage(simulator: RunningSimulator, provider: AnthropicModel) -> None:
    """Text, reason, tokens as the provider counted them, and the provider's id of the request."""
    response = provider.complete(request(), context())
    (received,) = simulator.calls()["calls"]
    assert response.text
    assert (response.stop_reason, response.provider) == ("end_turn", "anthropic")
    assert response.model == received["model"] == "claude-haiku-5-5"
    assert response.usage.input_tokens > 0
    assert response.usage.output_tokens > 0
    assert response.request_id.startswith("req_")
    assert not response.replayed


def test_an_answer_is_held_to_a_schema(provider: AnthropicModel) -> None:
    """As JSON; lists of types and limits, which the API does not know, are no obstacle."""
    schema = {
        "type": "object",
        "properties": {"total": {"type": ["number", "null"]}, "name": {"type": "string", "maxLength": 40}},
        "required": ["total", "name"],
    }
    asked = replace(request("<document>Total: 12.5. Name: Ann.</document> Extract."), output_schema=schema)
    answer = provider.complete(asked, context())
    assert json.loads(answer.text) == {"total": 12.5, "name": "Ann"}


def test_a_schema_is_part_of_what_a_request_is_known_by() -> None:
    """And a request without one is known by what it was before there were any."""
    plain = request("Hello.")
    assert b"output_schema" not in plain.canonical
    schemas: list[dict[str, Any]] = [{"type": "object"}, {"type": "object", "title": "t"}]
    hashes = {replace(plain, output_schema=schema).content_hash for schema in schemas}
    assert len(hashes | {plain.content_hash}) == 3


def test_text_is_told_as_it_comes(provider: AnthropicModel) -> None:
    """More than one piece, and together the answer."""
    pieces: list[str] = []
    told = context()
    told.on_text = pieces.append
    response = provider.complete(request(), told)
    assert len(pieces) > 1
    assert "".join(pieces) == response.text


@pytest.mark.parametrize(
    ("status", "code", "transient"),
    [
        (400, "invalid_request_error", False),
        (401, "authentication_error", False),
        (402, "billing_error", False),
        (403, "permission_error", False),
        (404, "not_found_error", False),
        (409, "conflict_error", True),
        (413, "request_too_large", False),
        (429, "rate_limit_error", True),
        (500, "api_error", True),
        (504, "timeout_error", True),
        (529, "overloaded_error", True),
    ],
)
def test_an_error_says_whether_it_may_pass(
    simulator: RunningSimulator, provider: AnthropicModel, status: int, code: str, transient: bool
) -> None:
    """By its status; it is asked once, and nothing was billed."""
    simulator.fault(status=status, message="Your prompt 'Say something about leases.' is bad.")
    error = failure(provider)
    assert (error.code, error.transient, error.usage) == (code, transient, None)
    assert error.request_id.startswith("req_")
    assert "leases" not in error.message
    assert simulator.calls()["total"] == 1


def test_a_code_more_exact_than_the_type_is_kept(
    simulator: RunningSimulator, provider: AnthropicModel
) -> None:
    """Such as which limit was reached; what could not be stored is cut."""
    simulator.fault(status=429, error_code="ramp_limit_exceeded", count=1)
    assert failure(provider).code == "ramp_limit_exceeded"
    simulator.fault(status=429, error_code="x" * 300, count=1)
    assert failure(provider).code == "x" * 64


@pytest.mark.parametrize("asked", [0, 7, 0.25, 86_400])
def test_what_the_provider_asks_to_wait_is_handed_on(
    simulator: RunningSimulator, provider: AnthropicModel, asked: float
) -> None:
    """Unwaited: a retry is not the adapter's."""
    simulator.fault(status=429, retry_after=asked)
    started = time.monotonic()
    assert failure(provider).retry_after_seconds == pytest.approx(asked, abs=1)
    assert time.monotonic() - started < 2


def test_an_error_without_a_wait_has_none(simulator: RunningSimulator, provider: AnthropicModel) -> None:
    """None, not zero."""
    simulator.fault(status=529)
    assert failure(provider).retry_after_seconds is None


def test_an_error_in_mid_stream_pays_for_what_came_before(
    simulator: RunningSimulator, provider: AnthropicModel
) -> None:
    """Under status 200: an overload is transient, a bad request is not."""
    simulator.fault(stream_error_after=3, count=1)
    error = failure(provider)
    assert (error.code, error.transient) == ("overloaded_error", True)
    assert error.usage is not None
    assert error.usage.input_tokens > 0
    assert error.usage.output_tokens > 0
    simulator.fault(stream_error_after=1, error_type="invalid_request_error", count=1)
    assert not failure(provider).transient


def test_a_connection_cut_in_mid_stream_pays_for_what_came_before(
    simulator: RunningSimulator, provider: AnthropicModel
) -> None:
    """Transient; input as reported, output at least what was seen."""
    whole = provider.complete(request(), context())
    for deltas in (0, 1, 4):
        simulator.fault(break_stream_after=deltas, count=1)
        pieces: list[str] = []
        told = context()
        told.on_text = pieces.append
        error = failure(provider, told)
        assert (error.code, error.transient) == ("connection_error", True)
        assert error.usage is not None
        assert error.usage.input_tokens == whole.usage.input_tokens
        seen = len("".join(pieces).encode()) / 4
        assert seen <= error.usage.output_tokens <= whole.usage.output_tokens
        assert error.request_id.startswith("req_")


def test_a_provider_that_is_not_there_has_billed_nothing() -> None:
    """Transient, without usage."""
    nowhere = provider_at("http://127.0.0.1:9")
    error = failure(nowhere)
    assert (error.code, error.transient, error.usage) == ("connection_error", True, None)


def test_a_call_ends_at_its_deadline(simulator: RunningSimulator, provider: AnthropicModel) -> None:
    """Even before the first byte; the input it sent is paid for as an estimate."""
    simulator.fault(delay_seconds=5)
    started = time.monotonic()
    error = failure(provider, context(seconds=0.4))
    assert time.monotonic() - started < 0.4 + AT_ONCE_SECONDS
    assert isinstance(error, Interrupted)
    assert (error.code, error.transient) == ("deadline_exceeded", True)
    assert error.usage is not None
    assert error.usage.input_tokens > 0
    assert error.usage.output_tokens == 0


def interrupt_after(seconds: float, of: CallContext) -> threading.Timer:
    """Interrupts the call from another thread."""
    timer = threading.Timer(seconds, of.interrupt)
    timer.start()
    return timer


def test_an_interrupt_wakes_a_call_that_waits_for_its_first_byte(
    simulator: RunningSimulator, provider: AnthropicModel
) -> None:
    """On a new connection and on one that was used before."""
    for _ in range(2):
        simulator.fault(delay_seconds=5, count=1)
        blocked = context()
        interrupt_after(0.2, blocked)
        started = time.monotonic()
        error = failure(provider, blocked)
        assert time.monotonic() - started < 0.2 + AT_ONCE_SECONDS
        assert isinstance(error, Interrupted)
        assert error.code == "interrupted"
        assert error.usage is not None
        assert error.usage.input_tokens > 0
        provider.complete(request(), context())


def test_an_interrupt_wakes_a_call_in_mid_stream(slow_simulator: RunningSimulator) -> None:
    """Paid for: the input, and the text that had come."""
    provider = provider_at(slow_simulator.url)
    blocked = context(model="claude-opus-5-5")
    pieces: list[str] = []

    def heard(text: str) -> None:
        pieces.append(text)
        if len(pieces) == 2:
            interrupt_after(0.05, blocked)

    blocked.on_text = heard
    error = failure(provider, blocked)
    assert isinstance(error, Interrupted)
    assert error.code == "interrupted"
    assert error.usage is not None
    assert error.usage.output_tokens >= len("".join(pieces).encode()) / 4


def test_a_call_interrupted_before_it_is_made_sends_nothing(
    simulator: RunningSimulator, provider: AnthropicModel
) -> None:
    """Nothing is received, nothing paid."""
    stopped = context()
    stopped.interrupt()
    error = failure(provider, stopped)
    assert isinstance(error, Interrupted)
    assert error.usage is None
    assert simulator.calls()["total"] == 0


def test_an_interrupt_that_comes_late_hurts_no_other_call(
    simulator: RunningSimulator, provider: AnthropicModel
) -> None:
    """The connection belongs to whoever uses it now."""
    done = context()
    provider.complete(request(), done)
    simulator.fault(delay_seconds=0.5, count=1)
    answers = []
    other = threading.Thread(target=lambda: answers.append(provider.complete(request(), context())))
    other.start()
    wait_for(lambda: simulator.calls()["total"] == 2)
    done.interrupt()
    done.interrupt()
    other.join()
    assert answers[0].text


def test_many_calls_are_interrupted_each_on_its_own(
    simulator: RunningSimulator, provider: AnthropicModel
) -> None:
    """Of twenty in flight, the even ones are broken off and the odd ones answered."""
    simulator.fault(delay_seconds=1)
    contexts = [context() for _ in range(20)]
    outcomes: dict[int, str] = {}

    def run(number: int) -> None:
        try:
            outcomes[number] = provider.complete(request(), contexts[number]).stop_reason
        except ModelError as error:
            outcomes[number] = error.code

    threads = [threading.Thread(target=run, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    wait_for(lambda: simulator.calls()["total"] == 20)
    for number in range(0, 20, 2):
        contexts[number].interrupt()
    for thread in threads:
        thread.join()
    assert outcomes == {number: "end_turn" if number % 2 else "interrupted" for number in range(20)}


class TestUnreadableAnswers:
    """What no provider should send is a failure of the call, with all that was seen paid for."""

    START = (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
        b'"role":"assistant","model":"claude-haiku-5-5","content":[],"stop_reason":null,"stop_sequence":null,'
        b'"usage":{"input_tokens":11,"output_tokens":1}}}\n\n'
    )

    @pytest.mark.parametrize(
        ("body", "usage"),
        [
            (b"", None),
            (b"event: message_start\ndata: {not json\n\n", None),
            (b"hello", None),
            (START + b"event: content_block_delta\ndata: {oops\n\n", Usage(11, 1)),
            (
                START
                + b'event: content_block_delta\ndata: {"type":"content_block_delta","index":9,'
                + b'"delta":{"type":"text_delta","text":"x"}}\n\n',
                Usage(11, 1),
            ),
        ],
        ids=["nothing", "no JSON", "no events", "no JSON in mid-stream", "a block that is not there"],
    )
    def test_a_stream_that_cannot_be_read(
        self, raw_server: Callable[[bytes], str], body: bytes, usage: Usage | None
    ) -> None:
        """A transient failure with a code of its own, not the SDK's exception."""
        provider = provider_at(raw_server(body))
        error = failure(provider)
        assert (error.code, error.transient, error.usage) == ("invalid_response", True, usage)

    @pytest.mark.parametrize(
        "ending", [b"", b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n']
    )
    def test_an_answer_without_its_end_is_no_answer(
        self, raw_server: Callable[[bytes], str], ending: bytes
    ) -> None:
        """A proxy may close in good order what was cut off behind it: half a sentence passes for nothing."""
        body = (
            self.START
            + b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
            + b'"content_block":{"type":"text","text":""}}\n\n'
            + b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            + b'"delta":{"type":"text_delta","text":"Half a sentence of"}}\n\n'
        )
        error = failure(provider_at(raw_server(body + ending)))
        assert (error.code, error.transient) == ("connection_error", True)
        assert error.usage == Usage(11, 5)

    def test_an_error_without_a_body(self, raw_server: Callable[[bytes], str]) -> None:
        """The status is all there is to go by."""
        provider = provider_at(raw_server(b"<html>Bad gateway</html>"))
        provider._client = provider._client.with_options(default_query={"status": "502"})
        error = failure(provider)
        assert (error.code, error.transient) == ("http_502", True)


def test_no_proxy_or_retry_stands_between(simulator: RunningSimulator, provider: AnthropicModel) -> None:
    """One call is one request, also when the answer says to try again."""
    simulator.fault(status=500, count=1)
    failure(provider)
    assert simulator.calls()["total"] == 1
    assert isinstance(provider._client._client, httpx2.Client)
