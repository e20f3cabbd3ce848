"""Which provider a call is sent to, and what becomes of it when that one fails."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from agentplatform.execution.circuit import Admission
from agentplatform.execution.retry import RetryPolicy
from agentplatform.llm.catalogue import DEFAULT_CATALOGUE, Catalogue, ProviderKind, ProviderSettings, Target
from agentplatform.llm.errors import CallDeferred, ModelError
from agentplatform.llm.gate import CallReport, Demand, Passage, Refusal
from agentplatform.llm.gateway import Gateway
from agentplatform.llm.journal import StepJournal
from agentplatform.llm.providers.anthropic import AnthropicModel
from agentplatform.llm.providers.clients import client_of
from agentplatform.llm.tiers import Tier
from tests.unit.conftest import RunningSimulator
from tests.unit.llm.conftest import Calls, context, gateway_to, provider_at, request

ONCE = RetryPolicy(max_attempts=1)


def served_by(*targets: Target) -> Catalogue:
    """Every tier at these targets, in their order."""
    return Catalogue(
        {tier: replace(settings, targets=targets) for tier, settings in DEFAULT_CATALOGUE.tiers.items()}
    )


def haiku(provider: str, model_name: str = "claude-haiku-5-5", **more: Any) -> Target:
    return Target(provider, "claude-haiku-5-5", model_name, **more)


@pytest.fixture
def two(simulator: RunningSimulator) -> Gateway:
    """Two providers, each a failure domain of its own."""
    providers = {
        "anthropic": provider_at(simulator.url),
        "second": provider_at(f"{simulator.url}/second", "second", "simulator-second"),
    }
    return gateway_to(providers, served_by(haiku("anthropic"), haiku("second")), blips=ONCE)


def sent_to(calls: Calls) -> list[str]:
    return [call.provider for kind, call in calls.log if kind == "start"]


def test_the_first_provider_is_asked(two: Gateway, journal: StepJournal, calls: Calls) -> None:
    """And nobody else."""
    assert two.for_step(journal).complete(request(), context()).provider == "anthropic"
    assert sent_to(calls) == ["anthropic"]


@pytest.mark.parametrize("status", [500, 529, 504, 429, 401, 403, 404])
def test_the_next_provider_takes_over_what_says_nothing_of_the_request(
    two: Gateway, journal: StepJournal, calls: Calls, simulator: RunningSimulator, status: int
) -> None:
    """At once; both calls are written down and settled, the failed one at nothing."""
    simulator.fault(status=status, provider="anthropic")
    response = two.for_step(journal).complete(request(), context())
    assert response.provider == "second"
    assert sent_to(calls) == ["anthropic", "second"]
    settled = [one for kind, one in calls.log if kind == "settle"] + journal.pending
    assert [(one.status, one.cost_usd_micros > 0) for one in settled] == [
        ("failed", False),
        ("settled", True),
    ]


def test_a_bad_request_is_sent_to_nobody_else(
    two: Gateway, journal: StepJournal, calls: Calls, simulator: RunningSimulator
) -> None:
    """It would be as bad there."""
    simulator.fault(status=400, provider="anthropic")
    with pytest.raises(ModelError) as caught:
        two.for_step(journal).complete(request(), context())
    assert (caught.value.code, sent_to(calls)) == ("invalid_request_error", ["anthropic"])


def test_a_circuit_that_is_open_is_passed_by(
    two: Gateway, calls: Calls, simulator: RunningSimulator, journal: StepJournal
) -> None:
    """After five failures nobody asks the failing provider any more."""
    simulator.fault(status=529, provider="anthropic")
    model = two.for_step(journal)
    for number in range(8):
        assert model.complete(request(f"Call {number}."), context()).provider == "second"
    assert sent_to(calls).count("anthropic") == 5


def test_a_limit_of_spending_opens_the_circuit_at_once(
    two: Gateway, calls: Calls, simulator: RunningSimulator, journal: StepJournal
) -> None:
    """A 400 that is no bad request: one call learns it, the next goes elsewhere."""
    simulator.fault(error_code="enforced_spend_limit_reached", provider="anthropic")
    model = two.for_step(journal)
    for number in range(3):
        assert model.complete(request(f"Call {number}."), context()).provider == "second"
    assert sent_to(calls) == ["anthropic", "second", "second", "second"]


def test_all_providers_open_defers_the_call(
    two: Gateway, simulator: RunningSimulator, journal: StepJournal
) -> None:
    """The step waits without a slot, and is no failure."""
    simulator.fault(status=529)
    model = two.for_step(journal)
    codes = set()
    for number in range(8):
        with pytest.raises(ModelError) as caught:
            model.complete(request(f"Call {number}."), context())
        codes.add(caught.value.code)
    assert codes == {"overloaded_error", "circuit_open"}
    assert isinstance(caught.value, CallDeferred)
    assert caught.value.waiting_for == "timer"
    assert 0 < caught.value.seconds <= 15


class Turnstile:
    """A gate that answers from a script and keeps what it was told."""

    def __init__(self, *answers: Refusal | None) -> None:
        self.answers = list(answers)
        self.reports: list[CallReport] = []

    def enter(self, targets: Sequence[Target], demand: Demand) -> Passage | Refusal:
        answer = self.answers.pop(0) if self.answers else None
        return answer or Passage(targets[0], demand, Admission(True))

    def leave(self, passage: Passage, report: CallReport) -> None:
        self.reports.append(report)


def through(gate: Turnstile, simulator: RunningSimulator) -> Gateway:
    return gateway_to({"anthropic": provider_at(simulator.url)}, gate=gate, blips=ONCE)


def test_a_wait_of_under_two_seconds_stays_in_the_slot(
    simulator: RunningSimulator, journal: StepJournal
) -> None:
    """Then the call is made, and reported with what it used."""
    gate = Turnstile(Refusal("rate_limited", 0.2), Refusal("rate_limited", 0.1))
    response = through(gate, simulator).for_step(journal).complete(request(), context())
    assert [report.usage for report in gate.reports] == [response.usage]


@pytest.mark.parametrize("waits", [[2.5], [1.5, 1.0]], ids=["at once", "in sum"])
def test_a_longer_wait_gives_the_slot_up(
    simulator: RunningSimulator, journal: StepJournal, calls: Calls, waits: list[float]
) -> None:
    """Nothing is written down: no call was made."""
    gate = Turnstile(*(Refusal("rate_limited", wait) for wait in waits))
    with pytest.raises(CallDeferred) as caught:
        through(gate, simulator).for_step(journal).complete(request(), context())
    assert (caught.value.waiting_for, caught.value.seconds) == ("rate", waits[-1])
    assert (calls.log, simulator.calls()["total"]) == ([], 0)


def test_what_a_provider_says_of_its_rates_reaches_the_gate(
    simulator: RunningSimulator, journal: StepJournal
) -> None:
    """From the headers of its answer."""
    limits = {"requests": 50, "input_tokens": 30_000, "output_tokens": 8_000}
    simulator.set_provider("anthropic", rate_limits={"haiku": limits})
    gate = Turnstile()
    through(gate, simulator).for_step(journal).complete(request(), context())
    (report,) = gate.reports
    assert report.rates is not None
    assert report.rates.limits.requests == 50
    assert report.rates.limits.input_tokens == 30_000
    assert (report.rates.remaining.requests or 99) <= 49


BEDROCK = "us.anthropic.claude-haiku-5-5-v1:0"


@pytest.mark.parametrize(
    ("kind", "secret", "path", "model_name"),
    [
        (ProviderKind.ANTHROPIC, "simulator-second", "/second", "claude-haiku-5-5"),
        (ProviderKind.BEDROCK, "AKIASIMULATORBEDROCK:any", "/bedrock", BEDROCK),
        (ProviderKind.BEDROCK, "simulator-bedrock", "/bedrock", BEDROCK),
        (ProviderKind.VERTEX, "simulator-vertex", "/vertex", "claude-haiku-5-5"),
    ],
)
def test_every_kind_of_provider_answers(
    simulator: RunningSimulator,
    journal: StepJournal,
    kind: ProviderKind,
    secret: str,
    path: str,
    model_name: str,
) -> None:
    """Streamed, priced, and under the provider's own name for the model."""
    settings = ProviderSettings(
        "other", kind, secret=secret, base_url=simulator.url + path, region="us-east-1", project="p"
    )
    gateway = gateway_to(
        {"other": AnthropicModel(client_of(settings), provider="other")},
        served_by(haiku("other", model_name, kind=kind)),
        blips=ONCE,
    )
    heard: list[str] = []
    told = context()
    told.on_text = heard.append
    response = gateway.for_step(journal).complete(request(), told)
    (settled,) = journal.pending
    assert "".join(heard) == response.text != ""
    assert settled.call.provider == response.provider == "other"
    assert settled.cost_usd_micros > 0


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
def test_what_bedrock_says_in_its_own_words_means_the_same(
    simulator: RunningSimulator, journal: StepJournal, status: int
) -> None:
    """Codes are those of the Messages API, and what speaks against the provider is the same."""
    settings = ProviderSettings(
        "bedrock",
        ProviderKind.BEDROCK,
        secret="simulator-bedrock",
        base_url=f"{simulator.url}/bedrock",
        region="us-east-1",
    )
    gate = Turnstile()
    gateway = gateway_to(
        {"bedrock": AnthropicModel(client_of(settings), provider="bedrock")},
        served_by(haiku("bedrock", BEDROCK, kind=ProviderKind.BEDROCK)),
        gate=gate,
        blips=ONCE,
    )
    simulator.fault(status=status, provider="bedrock")
    with pytest.raises(ModelError) as caught:
        gateway.for_step(journal).complete(request(), context())
    codes = {400: "invalid_request_error", 403: "permission_error", 429: "rate_limit_error", 500: "api_error"}
    assert caught.value.code == codes.get(status, "overloaded_error")
    assert caught.value.is_providers is (status >= 500)


def test_tiers_and_tenants_are_told_to_the_gate(simulator: RunningSimulator, journal: StepJournal) -> None:
    """What a call will take, so that rates can be kept and shared."""
    seen: list[Demand] = []

    class Watched(Turnstile):
        def enter(self, targets: Sequence[Target], demand: Demand) -> Passage | Refusal:
            seen.append(demand)
            return super().enter(targets, demand)

    through(Watched(), simulator).for_step(journal).complete(request(tier=Tier.FAST), context())
    (demand,) = seen
    assert demand.tenant_id == uuid.UUID(int=1)
    assert demand.output_tokens == 300
    assert 10 < demand.input_tokens < 100
