"""The door to models: journal, then metering, then the provider, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from agentplatform.llm.catalogue import Catalogue, Target, TierSettings
from agentplatform.llm.errors import CostLimitReached, Interrupted, ModelError, UnknownPrice
from agentplatform.llm.gateway import Gateway
from agentplatform.llm.journal import Settlement, StartedCall, StepJournal
from agentplatform.llm.messages import Usage
from agentplatform.llm.pricing import PRICE_VERSION, PriceBook
from agentplatform.llm.providers.anthropic import AnthropicModel
from agentplatform.llm.tiers import Tier
from tests.unit.conftest import RunningSimulator
from tests.unit.llm.conftest import Calls, context, gateway_to, identity, request

MODELS = {Tier.FAST: "claude-haiku-5-5", Tier.BALANCED: "claude-sonnet-5-5", Tier.POWERFUL: "claude-opus-5-5"}


@pytest.mark.parametrize("tier", Tier)
def test_a_call_is_written_down_made_and_settled(
    gateway: Gateway, journal: StepJournal, calls: Calls, tier: Tier
) -> None:
    """With the tier's model, its usage and its price."""
    response = gateway.for_step(journal).complete(request(tier=tier), context())
    assert response.model == MODELS[tier]
    ((_, started),) = calls.log
    (settled,) = journal.pending
    assert settled.call == started
    assert (started.ordinal, started.tier, started.model) == (0, tier.value, MODELS[tier])
    assert started.request_hash == request(tier=tier).content_hash
    assert (settled.status, settled.response, settled.usage) == ("settled", response, response.usage)
    assert settled.cost_usd_micros == PriceBook().of(MODELS[tier]).cost_usd_micros(response.usage) > 0
    assert settled.cost_usd_micros <= started.worst_case_usd_micros
    assert (settled.price_version, settled.estimated) == (PRICE_VERSION, False)
    assert settled.provider_request_id == response.request_id


def test_a_replayed_call_makes_no_request(
    gateway: Gateway, journal: StepJournal, calls: Calls, simulator: RunningSimulator
) -> None:
    """A second attempt gets what the first has paid for, and buys only what is new."""
    model = gateway.for_step(journal)
    bought = [model.complete(request(f"Call {number}."), context()) for number in range(2)]
    journal.flush()
    entries = [
        {
            "ordinal": settlement.call.ordinal,
            "request_hash": settlement.call.request_hash,
            "response": json.loads(json.dumps(settlement.to_json()))["response"],
        }
        for kind, settlement in calls.log
        if kind == "settle"
    ]
    simulator.reset()
    calls.log.clear()
    again = StepJournal(identity(2), calls, entries)
    model = gateway.for_step(again)
    replayed = [model.complete(request(f"Call {number}."), context()) for number in range(2)]
    assert replayed == bought
    assert all(response.replayed for response in replayed)
    assert simulator.calls()["total"] == 0
    assert calls.log == []
    assert again.pending == []
    new = model.complete(request("Call 2."), context())
    assert not new.replayed
    assert simulator.calls()["total"] == 1
    assert calls.log[0][1].ordinal == 2


def test_a_changed_request_is_not_replayed(gateway: Gateway, journal: StepJournal, calls: Calls) -> None:
    """An answer to something else is no answer."""
    response = gateway.for_step(journal).complete(request("One."), context())
    entry = {
        "ordinal": 0,
        "request_hash": request("One.").content_hash,
        "response": response.to_json(),
    }
    again = gateway.for_step(StepJournal(identity(2), calls, [entry]))
    assert not again.complete(request("Two."), context()).replayed


def test_a_refused_call_is_settled_at_nothing(
    gateway: Gateway, journal: StepJournal, simulator: RunningSimulator
) -> None:
    """The provider billed nothing, and that is no estimate."""
    simulator.fault(status=529)
    with pytest.raises(ModelError):
        gateway.for_step(journal).complete(request(), context())
    (settled,) = journal.pending
    assert (settled.status, settled.error_code) == ("failed", "overloaded_error")
    assert (settled.cost_usd_micros, settled.usage, settled.estimated) == (0, Usage(), False)
    assert settled.response is None


def test_a_call_cut_in_mid_stream_is_settled_as_an_estimate(
    gateway: Gateway, journal: StepJournal, simulator: RunningSimulator
) -> None:
    """What the provider had begun to answer it bills."""
    simulator.fault(break_stream_after=3)
    with pytest.raises(ModelError) as caught:
        gateway.for_step(journal).complete(request(tier=Tier.POWERFUL), context())
    (settled,) = journal.pending
    assert (settled.status, settled.error_code, settled.estimated) == ("failed", "connection_error", True)
    assert settled.usage == caught.value.usage
    assert settled.cost_usd_micros == PriceBook().of("claude-opus-5-5").cost_usd_micros(settled.usage) > 0


def test_a_failed_call_is_settled_before_the_next_is_made(
    gateway: Gateway, journal: StepJournal, calls: Calls, simulator: RunningSimulator
) -> None:
    """An agent that goes on after an error loses no cost."""
    simulator.fault(break_stream_after=1, count=1)
    model = gateway.for_step(journal)
    with pytest.raises(ModelError):
        model.complete(request("One."), context())
    model.complete(request("Two."), context())
    assert calls.kinds == ["start", "settle", "start"]
    assert calls.log[1][1].status == "failed"


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_call_without_time_is_not_started(
    gateway: Gateway, journal: StepJournal, calls: Calls, simulator: RunningSimulator, interrupted: bool
) -> None:
    """Neither written down nor made."""
    late = context(seconds=60 if interrupted else 0)
    if interrupted:
        late.interrupt()
    with pytest.raises(Interrupted):
        gateway.for_step(journal).complete(request(), late)
    assert (calls.log, journal.pending, simulator.calls()["total"]) == ([], [], 0)


def test_a_model_without_a_price_is_not_called(
    provider: AnthropicModel, journal: StepJournal, calls: Calls, simulator: RunningSimulator
) -> None:
    """Refused before it costs anything."""
    target = Target("anthropic", "claude-unheard-of", "claude-unheard-of")
    catalogue = Catalogue({tier: TierSettings(tier, target.model, (target,), 1.0) for tier in Tier})
    model = gateway_to({"anthropic": provider}, catalogue).for_step(journal)
    with pytest.raises(UnknownPrice):
        model.complete(request(), context())
    assert (calls.log, journal.pending, simulator.calls()["total"]) == ([], [], 0)


def test_a_call_over_the_limit_is_not_made(gateway: Gateway, simulator: RunningSimulator) -> None:
    """The store refuses its worst case, and nothing is sent or settled."""

    class Poor(Calls):
        def start(self, call: StartedCall, settlements: Sequence[Settlement]) -> None:
            raise CostLimitReached("max_cost_exceeded", "Too dear.", transient=False)

    journal = StepJournal(identity(), Poor())
    with pytest.raises(CostLimitReached):
        gateway.for_step(journal).complete(request(), context())
    assert (journal.pending, simulator.calls()["total"]) == ([], 0)
