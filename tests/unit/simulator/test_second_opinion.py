"""The same client code against the simulator and against llmock, a server of the same API by other hands.

Where llmock cannot follow, `DIFFERENCES` says so; the tests fail once that changes.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from agentplatform.simulator.server import open_socket
from tests.unit.conftest import RunningSimulator
from tests.unit.simulator.prompts import ask

HAIKU = "claude-haiku-5-5"
TOOL: Any = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PARAMS: Any = {"model": HAIKU, "max_tokens": 50, "messages": [ask("Say hello.")]}


def create(client: anthropic.Anthropic) -> None:
    """A whole message: text, a stop reason, tokens."""
    message = client.messages.create(**PARAMS)
    assert message.content[0].text
    assert (message.role, message.type, message.stop_reason) == ("assistant", "message", "end_turn")
    assert message.usage.output_tokens > 0


def stream(client: anthropic.Anthropic) -> None:
    """Events in their order, whose text adds up."""
    with client.messages.stream(**PARAMS) as events:
        kinds, text = [], ""
        for event in events:
            kinds.append(event.type)
            text += event.text if event.type == "text" else ""
        message = events.get_final_message()
    assert (kinds[0], kinds[1], kinds[-1]) == ("message_start", "content_block_start", "message_stop")
    assert text == message.content[0].text


def tools(client: anthropic.Anthropic) -> None:
    """A forced call whose input has what its schema requires, then an answer from the result."""
    asked: Any = ask('What is the weather in "Oslo"?')
    called = client.messages.create(
        model=HAIKU, max_tokens=99, tools=[TOOL], tool_choice={"type": "any"}, messages=[asked]
    )
    assert called.stop_reason == "tool_use"
    (use,) = [block for block in called.content if block.type == "tool_use"]
    assert (use.name, list(use.input)) == ("weather", ["city"])
    result: Any = {"type": "tool_result", "tool_use_id": use.id, "content": "It rains."}
    turns: Any = [
        asked,
        {"role": "assistant", "content": called.content},
        {"role": "user", "content": [result]},
    ]
    answered = client.messages.create(model=HAIKU, max_tokens=99, tools=[TOOL], messages=turns)
    assert answered.stop_reason == "end_turn"


def batch(client: anthropic.Anthropic) -> None:
    """Created, polled, ended; counts move at the end."""
    ended = _ended_batch(client)
    assert ended.request_counts.succeeded == 2
    assert ended.request_counts.processing == 0


def batch_list(client: anthropic.Anthropic) -> None:
    """A new batch stands first."""
    made = client.messages.batches.create(requests=[{"custom_id": "a", "params": PARAMS}])
    assert client.messages.batches.list(limit=5).data[0].id == made.id


def batch_cancel(client: anthropic.Anthropic) -> None:
    """A cancel is taken, and comes back with its time."""
    made = client.messages.batches.create(requests=[{"custom_id": "a", "params": PARAMS}])
    assert client.messages.batches.cancel(made.id).cancel_initiated_at is not None


def batch_results(client: anthropic.Anthropic) -> None:
    """One line for each request, by its custom id."""
    lines = client.messages.batches.results(_ended_batch(client).id)
    assert {line.custom_id for line in lines} == {"a", "b"}


def models(client: anthropic.Anthropic) -> None:
    """A list of models with their ids."""
    assert all(model.id.startswith("claude-") for model in client.models.list().data)


def count_tokens(client: anthropic.Anthropic) -> None:
    """A count above zero."""
    assert client.messages.count_tokens(model=HAIKU, messages=[ask("Hi")]).input_tokens > 0


def rate_limits(client: anthropic.Anthropic) -> None:
    """The organisation's limits."""
    assert client.organization.rate_limits.list().data


def request_id(client: anthropic.Anthropic) -> None:
    """Every response has an id."""
    assert client.messages.create(**PARAMS)._request_id


def input_tokens(client: anthropic.Anthropic) -> None:
    """What was sent is counted."""
    assert client.messages.create(**PARAMS).usage.input_tokens > 0


def cache_usage(client: anthropic.Anthropic) -> None:
    """A long prefix with a breakpoint is reported as written."""
    block: Any = {"type": "text", "text": "A fox. " * 3_000, "cache_control": {"type": "ephemeral"}}
    assert client.messages.create(**PARAMS, system=[block]).usage.cache_creation_input_tokens


def bad_request(client: anthropic.Anthropic) -> None:
    """A conversation without messages is refused."""
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model=HAIKU, max_tokens=5, messages=[])


def sampling(client: anthropic.Anthropic) -> None:
    """`temperature` is refused under the version the SDK sends."""
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(**PARAMS, extra_body={"temperature": 1})


CONTRACTS: dict[str, Callable[[anthropic.Anthropic], None]] = {
    contract.__name__: contract
    for contract in (
        create, stream, tools, batch, batch_list, batch_cancel, batch_results, models, count_tokens,
        rate_limits, request_id, input_tokens, cache_usage, bad_request, sampling,
    )
}  # fmt: skip
DIFFERENCES: dict[str, type[BaseException]] = {
    "count_tokens": anthropic.NotFoundError,
    # Its results_url repeats the prefix of its base URL.
    "batch_results": anthropic.NotFoundError,
    "rate_limits": anthropic.NotFoundError,
    "request_id": AssertionError,
    "cache_usage": AssertionError,
    "bad_request": pytest.fail.Exception,
    "sampling": pytest.fail.Exception,
}
"""What llmock 0.2.2 does in place of keeping a contract."""


@pytest.fixture(scope="module")
def llmock_client() -> Iterator[anthropic.Anthropic]:
    """The SDK pointed at llmock in a process of its own."""
    with open_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    program = Path(sys.executable).with_name("llmock")
    command = [str(program), "serve", "--port", str(port), "--log-level", "error"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(f"http://127.0.0.1:{port}/anthropic/v1/models")
            with anthropic.Anthropic(
                api_key="k", base_url=f"http://127.0.0.1:{port}/anthropic", max_retries=0
            ) as client:
                yield client
        finally:
            process.terminate()


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_simulator_keeps_the_contract(simulator: RunningSimulator, contract: str) -> None:
    """All of them."""
    simulator.set_provider("anthropic", batches={"seconds": 0.1})
    CONTRACTS[contract](simulator.client())


@pytest.mark.parametrize("contract", CONTRACTS)
def test_llmock_keeps_the_contract_or_is_known_not_to(
    llmock_client: anthropic.Anthropic, contract: str
) -> None:
    """A known difference has to be there."""
    if contract not in DIFFERENCES:
        CONTRACTS[contract](llmock_client)
        return
    with pytest.raises(DIFFERENCES[contract]):
        CONTRACTS[contract](llmock_client)


def _ended_batch(client: anthropic.Anthropic) -> Any:
    requests: Any = [{"custom_id": name, "params": PARAMS} for name in ("a", "b")]
    made = client.messages.batches.create(requests=requests)
    assert (made.processing_status, made.request_counts.processing) == ("in_progress", 2)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        polled = client.messages.batches.retrieve(made.id)
        if polled.processing_status == "ended":
            return polled
        assert polled.request_counts.succeeded == 0
        time.sleep(0.05)
    raise TimeoutError("the batch did not end")


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if httpx2.get(url).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise TimeoutError("llmock did not start")
