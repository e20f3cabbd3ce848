"""Blips of a provider: a call is tried again within its step, as long as that is a matter of seconds."""

from __future__ import annotations

import threading
import time

import pytest

from agentplatform.execution.retry import RetryPolicy
from agentplatform.llm.errors import ModelError
from agentplatform.llm.fallback import BLIPS
from agentplatform.llm.gateway import Gateway
from agentplatform.llm.journal import StepJournal
from agentplatform.llm.providers.anthropic import AnthropicModel
from tests.unit.conftest import RunningSimulator
from tests.unit.llm.conftest import Calls, context, gateway_to, request

QUICK = RetryPolicy(max_attempts=3, base_backoff_seconds=0.01, max_backoff_seconds=1.0)


@pytest.fixture
def gateway(provider: AnthropicModel) -> Gateway:
    """The door to models, with short waits."""
    return gateway_to({"anthropic": provider}, blips=QUICK)


@pytest.mark.parametrize("fault", [{"status": 529}, {"status": 500}, {"break_stream_after": 2}])
def test_a_blip_is_passed_over(
    gateway: Gateway, journal: StepJournal, calls: Calls, simulator: RunningSimulator, fault: dict[str, int]
) -> None:
    """Each try is a call of its own at the same place of the journal, started and settled in order."""
    simulator.fault(**fault, count=2)
    response = gateway.for_step(journal).complete(request(), context())
    journal.flush()
    assert calls.kinds == ["start", "settle"] * 3
    started = [entry for kind, entry in calls.log if kind == "start"]
    settled = [entry for kind, entry in calls.log if kind == "settle"]
    assert len({call.call_id for call in started}) == 3
    assert {(call.ordinal, call.request_hash) for call in started} == {(0, request().content_hash)}
    assert [settlement.status for settlement in settled] == ["failed", "failed", "settled"]
    assert settled[-1].response == response
    assert [settlement.call for settlement in settled] == started


def test_what_goes_on_is_left_to_the_step(
    gateway: Gateway, journal: StepJournal, simulator: RunningSimulator
) -> None:
    """Three tries, then the failure as it was."""
    simulator.fault(status=529)
    with pytest.raises(ModelError) as caught:
        gateway.for_step(journal).complete(request(), context())
    assert (caught.value.code, caught.value.transient) == ("overloaded_error", True)
    assert simulator.calls()["total"] == 3


@pytest.mark.parametrize(
    ("fault", "calls_made"),
    [
        ({"status": 400}, 1),  # it would not pass
        ({"status": 429, "retry_after": 30}, 1),  # the step waits for that, without a slot
        ({"status": 429, "retry_after": 0.01}, 3),
    ],
)
def test_only_what_passes_within_seconds_is_a_blip(
    gateway: Gateway,
    journal: StepJournal,
    simulator: RunningSimulator,
    fault: dict[str, float],
    calls_made: int,
) -> None:
    """The rest goes to the step's own policy at once."""
    simulator.fault(**fault)
    with pytest.raises(ModelError):
        gateway.for_step(journal).complete(request(), context())
    assert simulator.calls()["total"] == calls_made


def test_a_retry_after_is_waited_for(
    gateway: Gateway, journal: StepJournal, simulator: RunningSimulator
) -> None:
    """No sooner than the provider asked for."""
    simulator.fault(status=429, retry_after=0.4, count=1)
    began = time.monotonic()
    gateway.for_step(journal).complete(request(), context())
    assert time.monotonic() - began >= 0.4


def test_no_try_is_made_that_could_not_start_in_time(
    provider: AnthropicModel, journal: StepJournal, simulator: RunningSimulator
) -> None:
    """The step's time is over before the wait would be."""
    gateway = gateway_to({"anthropic": provider}, blips=BLIPS, jitter=lambda: 0.99)
    simulator.fault(status=529)
    with pytest.raises(ModelError):
        gateway.for_step(journal).complete(request(), context(seconds=0.4))
    assert simulator.calls()["total"] == 1


def test_a_wait_is_broken_off(
    provider: AnthropicModel, journal: StepJournal, simulator: RunningSimulator
) -> None:
    """A cancelled call does not sleep on, and is not made again."""
    policy = RetryPolicy(max_attempts=3, base_backoff_seconds=30.0, max_backoff_seconds=30.0)
    gateway = gateway_to({"anthropic": provider}, blips=policy, jitter=lambda: 0.99)
    simulator.fault(status=529)
    circumstances = context(seconds=60)
    threading.Timer(0.3, circumstances.interrupt).start()
    began = time.monotonic()
    with pytest.raises(ModelError):
        gateway.for_step(journal).complete(request(), circumstances)
    assert time.monotonic() - began < 2
    assert simulator.calls()["total"] == 1
