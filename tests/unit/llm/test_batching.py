"""The batch lane: which calls are left to a batch, and what becomes of them on later attempts."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest

from agentplatform.execution.deadlines import Deadline
from agentplatform.llm.batching import BatchedCall
from agentplatform.llm.catalogue import DEFAULT_CATALOGUE, Catalogue, Target
from agentplatform.llm.errors import CallDeferred, CostLimitReached
from agentplatform.llm.journal import StartedCall, StepJournal
from agentplatform.llm.messages import ModelRequest, ModelResponse, Usage
from agentplatform.llm.model import CallContext, Model
from agentplatform.llm.providers.anthropic import AnthropicModel
from agentplatform.llm.tiers import Tier
from tests.unit.conftest import RunningSimulator
from tests.unit.llm.conftest import Calls, context, gateway_to, identity, request

DAY = 86_400.0
ANSWER = ModelResponse(({"type": "text", "text": "Late."},), "end_turn", Usage(1, 1), "m", "anthropic")


class Lane:
    """A lane in memory: one call, and what is asked of it."""

    def __init__(self, known: BatchedCall | None = None, refuses: bool = False) -> None:
        self.known = known
        self.refuses = refuses
        self.left: list[tuple[StartedCall, ModelRequest, Target]] = []
        self.asked: list[tuple[int, bool]] = []

    def leave(self, call: StartedCall, request: ModelRequest, target: Target) -> BatchedCall:
        if self.refuses:
            raise CostLimitReached("max_cost_exceeded", "Too dear.", transient=False)
        self.left.append((call, request, target))
        return BatchedCall(is_open=True)

    def find(
        self, step_id: uuid.UUID, ordinal: int, request_hash: str, *, withdraw: bool
    ) -> BatchedCall | None:
        self.asked.append((ordinal, withdraw))
        if self.known is not None and self.known.is_open and withdraw:
            self.known = BatchedCall(is_open=False)
        return self.known


def patient(workflow_seconds: float = DAY, **changes: Any) -> CallContext:
    """The circumstances of a call of the batch queue whose answer may come late."""
    call = context()
    call.queue, call.tolerates_delay = "batch", True
    call.workflow_deadline = Deadline.after(workflow_seconds)
    for name, value in changes.items():
        setattr(call, name, value)
    return call


@pytest.fixture
def lane() -> Lane:
    """A lane that nothing was left to."""
    return Lane()


def model_of(
    provider: AnthropicModel,
    lane: Lane,
    calls: Calls,
    attempt: int = 1,
    catalogue: Catalogue = DEFAULT_CATALOGUE,
) -> Model:
    """The door to models with this lane, for an attempt of a step."""
    journal = StepJournal(identity(attempt), calls)
    return gateway_to({"anthropic": provider}, catalogue, batch_lane=lane).for_step(journal)


def test_a_patient_call_is_left_to_a_batch_and_its_step_waits(
    provider: AnthropicModel, lane: Lane, calls: Calls, simulator: RunningSimulator
) -> None:
    """At half the worst case, until shortly before the workflow's deadline; no call is made."""
    with pytest.raises(CallDeferred) as deferred:
        model_of(provider, lane, calls).complete(request(), patient())
    assert deferred.value.waiting_for == "provider_batch"
    assert deferred.value.seconds == pytest.approx(DAY - DEFAULT_CATALOGUE.batch_min_seconds, abs=5)
    ((call, sent, target),) = lane.left
    assert (call.lane, call.ordinal, call.tier, target.model) == ("batch", 0, "fast", "claude-haiku-5-5")
    assert sent.content_hash == request().content_hash
    live = DEFAULT_CATALOGUE.price_list(target).worst_case_usd_micros(
        sent.input_bound_tokens, sent.max_tokens, caches=False
    )
    assert call.worst_case_usd_micros == pytest.approx(live / 2, abs=1)
    assert simulator.calls()["total"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"queue": "standard"},
        {"tolerates_delay": False},
        {"workflow_deadline": None},
        {"workflow_deadline": Deadline.after(3_500)},
    ],
    ids=["another queue", "no delay tolerated", "no deadline known", "too little time"],
)
def test_a_call_that_may_not_wait_is_made_at_once(
    provider: AnthropicModel, lane: Lane, calls: Calls, changes: dict[str, Any]
) -> None:
    """In the ordinary lane."""
    assert model_of(provider, lane, calls).complete(request(), patient(**changes)).text
    assert lane.left == []
    assert calls.log[0][1].lane == "live"


def test_a_tier_whose_providers_take_no_batches_is_called_at_once(
    provider: AnthropicModel, lane: Lane, calls: Calls
) -> None:
    """There is nobody to leave the call to."""
    fast = DEFAULT_CATALOGUE.tiers[Tier.FAST]
    settings = replace(fast, targets=(replace(fast.targets[0], takes_batches=False),))
    catalogue = Catalogue({Tier.FAST: settings})
    assert model_of(provider, lane, calls, catalogue=catalogue).complete(request(), patient()).text
    assert lane.left == []


def test_the_first_provider_that_takes_batches_gets_the_call(
    provider: AnthropicModel, lane: Lane, calls: Calls
) -> None:
    """Though another one comes before it for ordinary calls."""
    fast = DEFAULT_CATALOGUE.tiers[Tier.FAST]
    first = replace(fast.targets[0], provider="second", takes_batches=False)
    catalogue = Catalogue({Tier.FAST: replace(fast, targets=(first, *fast.targets))})
    with pytest.raises(CallDeferred):
        model_of(provider, lane, calls, catalogue=catalogue).complete(request(), patient())
    assert lane.left[0][2].provider == "anthropic"


def test_a_call_that_is_too_dear_is_not_left(provider: AnthropicModel, calls: Calls) -> None:
    """Its refusal is the step's to hear."""
    with pytest.raises(CostLimitReached):
        model_of(provider, Lane(refuses=True), calls).complete(request(), patient())


def test_a_first_attempt_asks_for_nothing_that_was_left(
    provider: AnthropicModel, lane: Lane, calls: Calls
) -> None:
    """There is nothing to find."""
    with pytest.raises(CallDeferred):
        model_of(provider, lane, calls).complete(request(), patient())
    assert lane.asked == []


def test_a_call_that_is_still_open_is_waited_for_again(
    provider: AnthropicModel, calls: Calls, simulator: RunningSimulator
) -> None:
    """And not left twice."""
    lane = Lane(BatchedCall(is_open=True))
    with pytest.raises(CallDeferred):
        model_of(provider, lane, calls, attempt=2).complete(request(), patient())
    assert (lane.left, lane.asked, simulator.calls()["total"]) == ([], [(0, False)], 0)


def test_a_call_that_is_open_near_the_deadline_is_withdrawn_and_made_at_once(
    provider: AnthropicModel, calls: Calls
) -> None:
    """The ordinary lane still has its time."""
    lane = Lane(BatchedCall(is_open=True))
    assert model_of(provider, lane, calls, attempt=2).complete(request(), patient(3_599)).text
    assert (lane.left, lane.asked) == ([], [(0, True)])


def test_a_call_that_a_batch_has_failed_is_made_at_once(provider: AnthropicModel, calls: Calls) -> None:
    """Once in a batch, never again."""
    lane = Lane(BatchedCall(is_open=False))
    assert model_of(provider, lane, calls, attempt=2).complete(request(), patient()).text
    assert (lane.left, calls.log[0][1].lane) == ([], "live")


def test_an_answer_that_came_since_the_claim_is_taken(
    provider: AnthropicModel, calls: Calls, simulator: RunningSimulator
) -> None:
    """The journal was read before it; it is not bought again."""
    lane = Lane(BatchedCall(is_open=False, response=ANSWER))
    assert model_of(provider, lane, calls, attempt=2).complete(request(), patient(3_599)).text == "Late."
    assert simulator.calls()["total"] == 0


def test_a_shared_prefix_is_cached_for_an_hour_in_a_batch(
    provider: AnthropicModel, lane: Lane, calls: Calls
) -> None:
    """Half price and cache go together; the worst case then has the dearest write in it."""
    shared = replace(request(), shared_context="Rules of the house. " * 1_000)
    with pytest.raises(CallDeferred):
        model_of(provider, lane, calls).complete(shared, patient())
    call, sent, target = lane.left[0]
    assert sent.prompt_cache_ttl == "1h"
    prices = DEFAULT_CATALOGUE.price_list(target, batch=True)
    assert call.worst_case_usd_micros == prices.worst_case_usd_micros(
        sent.input_bound_tokens, sent.max_tokens, caches=True
    )


def test_the_parts_of_a_divided_request_are_not_left(
    provider: AnthropicModel, lane: Lane, calls: Calls
) -> None:
    """One after the other, each would wait for a batch of its own."""
    fast = DEFAULT_CATALOGUE.tiers[Tier.FAST]
    catalogue = Catalogue({Tier.FAST: replace(fast, context_window_tokens=8_000, max_output_tokens=1_000)})
    large = replace(request(), document="One sentence of many. " * 4_000)
    assert model_of(provider, lane, calls, catalogue=catalogue).complete(large, patient()).text
    assert lane.left == []


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        ModelRequest(
            None,
            ({"role": "user", "content": [{"type": "text", "text": "é😀"}]},),
            10,
            system="Be brief.",
            tools=({"name": "t", "input_schema": {"type": "object"}},),
            stop_sequences=("END",),
            output_schema={"type": "object"},
            shared_context="Shared.",
            document="A document.",
            min_tier=Tier.BALANCED,
            use_case="a.b",
            escalated_from=Tier.FAST,
            prompt_cache_ttl="1h",
        ),
    ],
)
def test_a_request_that_was_stored_is_sent_in_the_same_words(asked: ModelRequest) -> None:
    """To the byte, with its cache's time to live."""
    again = ModelRequest.from_json(asked.to_json())
    assert (again, again.canonical, again.prompt_cache_ttl) == (
        asked,
        asked.canonical,
        asked.prompt_cache_ttl,
    )
