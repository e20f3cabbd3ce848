"""The gateway and its provider over the real SDK and HTTP, against the simulator."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable

import pytest

from agentplatform.execution.deadlines import Deadline
from agentplatform.llm.errors import Interrupted, ModelError
from agentplatform.llm.gateway import Gateway
from agentplatform.llm.journal import Settlement, StartedCall, StepIdentity, StepJournal
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.llm.model import CallContext
from agentplatform.llm.pricing import cost_usd_micros
from agentplatform.llm.providers.anthropic import AnthropicModel
from agentplatform.llm.tiers import Tier
from tests.unit.conftest import RunningSimulator

STEP = StepIdentity(uuid.uuid4(), uuid.uuid4(), uuid.uuid4(), 1, "test", "agent")


class Store:
    """Keeps calls in memory, in the order in which they were written."""

    def __init__(self) -> None:
        self.written: list[StartedCall | Settlement] = []

    def start(self, call: StartedCall) -> None:
        self.written.append(call)

    def settle(self, settlements: Iterable[Settlement]) -> None:
        self.written.extend(settlements)


def request(text: str = "What is a lease?", max_tokens: int = 200) -> ModelRequest:
    return ModelRequest(Tier.FAST, ({"role": "user", "content": text},), max_tokens)


def context(seconds: float = 30) -> CallContext:
    return CallContext(Deadline.after(seconds))


def gateway(simulator: RunningSimulator) -> Gateway:
    return Gateway({"anthropic": AnthropicModel(api_key="test-key", base_url=simulator.url)})


def test_a_call_is_written_before_it_is_made_and_settled_at_its_price(simulator: RunningSimulator) -> None:
    """The settlement carries the provider's usage, model and request id, and what it cost."""
    store = Store()
    journal = StepJournal(STEP, store)
    response = gateway(simulator).for_step(journal).complete(request(), context())
    assert response.text
    (started,) = store.written
    assert isinstance(started, StartedCall)
    (settlement,) = journal.pending
    assert settlement.status == "settled"
    assert settlement.cost_usd_micros == cost_usd_micros("claude-haiku-5-5", response.usage) > 0
    assert settlement.provider_request_id == simulator.calls()["calls"][0]["request_id"]
    assert started.worst_case_usd_micros >= settlement.cost_usd_micros


def test_a_settled_call_is_replayed_without_a_request(simulator: RunningSimulator) -> None:
    """Another attempt that asks the same at the same place gets the stored answer, and nothing is written."""
    first = StepJournal(STEP, Store())
    answer = gateway(simulator).for_step(first).complete(request(), context())
    (settlement,) = first.pending
    settled = [
        {
            "ordinal": 0,
            "request_hash": settlement.call.request_hash,
            "response": settlement.to_json()["response"],
        }
    ]
    store = Store()
    second = StepJournal(STEP, store, settled)
    model = gateway(simulator).for_step(second)
    again = model.complete(request(), context())
    assert (again, again.replayed) == (answer, True)
    assert store.written == second.pending == []
    assert simulator.calls()["total"] == 1
    model.complete(request("And what is a fencing token?"), context())
    assert simulator.calls()["total"] == 2


def test_a_call_is_settled_before_the_next_is_started(simulator: RunningSimulator) -> None:
    """Only the last settlement waits for the step's end."""
    store = Store()
    journal = StepJournal(STEP, store)
    model = gateway(simulator).for_step(journal)
    for number in range(3):
        model.complete(request(f"Question {number}?"), context())
    kinds = [type(entry).__name__ for entry in store.written]
    assert kinds == ["StartedCall", "Settlement", "StartedCall", "Settlement", "StartedCall"]
    assert [settlement.call.ordinal for settlement in journal.pending] == [2]


@pytest.mark.parametrize(
    ("status", "code", "transient"),
    [
        (400, "invalid_request_error", False),
        (401, "authentication_error", False),
        (403, "permission_error", False),
        (404, "not_found_error", False),
        (413, "request_too_large", False),
        (429, "rate_limit_error", True),
        (500, "api_error", True),
        (504, "timeout_error", True),
        (529, "overloaded_error", True),
    ],
)
def test_a_refusal_is_classed_and_costs_nothing(
    simulator: RunningSimulator, status: int, code: str, transient: bool
) -> None:
    """What may pass by itself is transient; the provider's wording, which may quote the prompt, is not kept."""
    simulator.fault(status=status, message="you said: What is a lease?", count=1)
    journal = StepJournal(STEP, Store())
    with pytest.raises(ModelError) as caught:
        gateway(simulator).for_step(journal).complete(request(), context())
    assert (caught.value.code, caught.value.transient) == (code, transient)
    assert "lease" not in caught.value.message
    (settlement,) = journal.pending
    assert (settlement.status, settlement.cost_usd_micros, settlement.error_code) == ("failed", 0, code)


def test_the_provider_may_say_when_to_come_back(simulator: RunningSimulator) -> None:
    """`retry-after` is handed on; nobody sleeps for it here."""
    simulator.fault(status=429, retry_after=17, count=1)
    started = time.monotonic()
    with pytest.raises(ModelError) as caught:
        gateway(simulator).for_step(StepJournal(STEP, Store())).complete(request(), context())
    assert caught.value.retry_after_seconds == 17
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("fault", ["break_stream_after", "stream_error_after"])
def test_a_stream_that_breaks_off_is_paid_for(simulator: RunningSimulator, fault: str) -> None:
    """The input as reported, and the output that was seen, marked as estimated."""
    simulator.fault(**{fault: 2, "count": 1})
    journal = StepJournal(STEP, Store())
    with pytest.raises(ModelError) as caught:
        gateway(simulator).for_step(journal).complete(request("Tell me a long story. " * 40), context())
    assert caught.value.transient
    (settlement,) = journal.pending
    assert settlement.status == "failed"
    assert settlement.estimated
    assert settlement.usage.input_tokens > 0
    assert settlement.cost_usd_micros > 0


def test_an_interrupted_call_ends_at_once(simulator: RunningSimulator) -> None:
    """From another thread, in the middle of a stream that has gone silent."""
    simulator.fault(delay_seconds=20, count=1)
    call = context(seconds=2)
    started = time.monotonic()
    with pytest.raises(ModelError) as caught:
        gateway(simulator).for_step(StepJournal(STEP, Store())).complete(request(), call)
    assert time.monotonic() - started < 4
    assert caught.value.transient


def test_an_interrupt_between_deltas_stops_the_stream(slow_simulator: RunningSimulator) -> None:
    """The reader is woken although no delta comes, and pays for what it has seen."""
    sentences = " ".join(f"Sentence {number} tells how lease {number} is renewed." for number in range(60))
    long_answer = ModelRequest(
        Tier.POWERFUL,
        ({"role": "user", "content": f"<document>{sentences}</document> Summarise it in 40 sentences."},),
        max_tokens=2_000,
    )
    call = context()
    call.on_text = lambda _: threading.Timer(0.05, call.interrupt).start()
    journal = StepJournal(STEP, Store())
    with pytest.raises(Interrupted) as caught:
        gateway(slow_simulator).for_step(journal).complete(long_answer, call)
    assert caught.value.code == "interrupted"
    (settlement,) = journal.pending
    assert 0 < settlement.usage.output_tokens < 500
    assert settlement.cost_usd_micros > 0


def test_no_call_is_started_without_time_for_it(simulator: RunningSimulator) -> None:
    """A deadline that has passed is respected before anything is written or bought."""
    store = Store()
    with pytest.raises(Interrupted):
        gateway(simulator).for_step(StepJournal(STEP, store)).complete(request(), context(seconds=-1))
    assert store.written == []
    assert simulator.calls()["total"] == 0


def test_a_response_survives_its_journey_as_json(simulator: RunningSimulator) -> None:
    """What is stored is what is replayed."""
    response = gateway(simulator).for_step(StepJournal(STEP, Store())).complete(request(), context())
    assert ModelResponse.from_json(response.to_json()) == response
