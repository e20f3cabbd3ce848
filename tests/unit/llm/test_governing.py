"""Calls that there is too little budget for: shorter, on a cheaper tier, held; and it is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agentplatform.budgets.thresholds import Level
from agentplatform.llm.catalogue import DEFAULT_CATALOGUE
from agentplatform.llm.errors import BudgetShort, CallDeferred, CostLimitReached
from agentplatform.llm.journal import Settlement, StartedCall, StepJournal
from agentplatform.llm.pricing import PriceBook
from agentplatform.llm.providers.anthropic import AnthropicModel
from agentplatform.llm.restraint import Restraint
from agentplatform.llm.tiers import Tier
from tests.unit.llm.conftest import Calls, context, gateway_to, identity, request


class Purse(Calls):
    """A store of calls with so much room, and `in_flight` for the first few refusals."""

    def __init__(
        self,
        usd_micros: int | None,
        *,
        tokens: int | None = None,
        seconds: float | None = 3_600.0,
        in_flight: int = 0,
    ) -> None:
        super().__init__()
        self.usd_micros, self.tokens, self.seconds, self.in_flight = usd_micros, tokens, seconds, in_flight

    def start(self, call: StartedCall, settlements: Sequence[Settlement]) -> None:
        if self.usd_micros is not None and call.worst_case_usd_micros > self.usd_micros:
            self._refuse()
        if (
            self.tokens is not None
            and call.worst_case_input_tokens + call.worst_case_output_tokens > self.tokens
        ):
            self._refuse()
        super().start(call, settlements)

    def _refuse(self) -> None:
        self.in_flight -= 1
        raise BudgetShort(
            "budget_exhausted",
            "Budget 'acme' has no room for the next call this day.",
            room_usd_micros=self.usd_micros,
            room_tokens=self.tokens,
            in_flight=self.in_flight >= 0,
            seconds=self.seconds,
            budget="acme",
        )


def worst_case(tier: Tier, max_tokens: int = 300, *, caches: bool = True) -> int:
    """What `request` is reserved for on a tier."""
    prices = PriceBook().of(DEFAULT_CATALOGUE.tiers[tier].model)
    bound = request().input_bound_tokens
    return prices.worst_case_usd_micros(bound, max_tokens, caches=caches)


def ask(provider: AnthropicModel, purse: Purse, **more: object) -> tuple[object, list[str]]:
    """The answer to a request of the balanced tier, and the codes of what was not as asked for."""
    asked = replace(request(tier=Tier.BALANCED), **more)
    told = context()
    response = (
        gateway_to({"anthropic": provider}).for_step(StepJournal(identity(), purse)).complete(asked, told)
    )
    return response, [note["code"] for note in told.degradations]


def test_with_room_nothing_is_changed(provider: AnthropicModel) -> None:
    """And nothing said."""
    response, codes = ask(provider, Purse(worst_case(Tier.BALANCED)))
    assert codes == []
    assert response.model == "claude-sonnet-5-5"  # type: ignore[attr-defined]


def test_an_answer_is_cut_before_a_cheaper_tier_is_asked(provider: AnthropicModel) -> None:
    """To what there is room for, to the token."""
    purse = Purse(worst_case(Tier.BALANCED, 150))
    response, codes = ask(provider, purse)
    assert codes == ["budget_answer_shortened"]
    assert response.model == "claude-sonnet-5-5"  # type: ignore[attr-defined]
    (started,) = [call for kind, call in purse.log if kind == "start"]
    assert 145 <= started.worst_case_output_tokens <= 150


def test_a_cheaper_tier_answers_where_cutting_is_not_enough(provider: AnthropicModel) -> None:
    """Or where the answer has a schema, which a cut one would not be of."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    long = ({"role": "user", "content": "Say something about leases. " * 200},)
    for purse, more in (
        (Purse(1_500), {"messages": long}),
        (Purse(worst_case(Tier.BALANCED, 250, caches=False)), {"output_schema": schema}),
    ):
        response, codes = ask(provider, purse, **more)
        assert codes == ["budget_tier_lowered"]
        assert response.model == "claude-haiku-5-5"  # type: ignore[attr-defined]


def test_tokens_that_are_short_cut_the_answer_and_no_tier_helps(provider: AnthropicModel) -> None:
    """They count the same on every tier."""
    bound = request().input_bound_tokens
    _, codes = ask(provider, Purse(None, tokens=bound + 100))
    assert codes == ["budget_answer_shortened"]
    with pytest.raises(CallDeferred):
        ask(provider, Purse(None, tokens=bound + 10))


def test_where_nothing_fits_the_step_is_held_with_what_it_needs(provider: AnthropicModel) -> None:
    """Until its window turns."""
    with pytest.raises(CallDeferred) as held:
        ask(provider, Purse(10, seconds=77.0))
    assert (held.value.waiting_for, held.value.seconds) == ("budget", 77.0)
    assert held.value.needs is not None
    assert 0 < held.value.needs[0] <= worst_case(Tier.BALANCED)


def test_no_answer_comes_from_below_what_its_definition_can_do_with(provider: AnthropicModel) -> None:
    """It is held instead."""
    with pytest.raises(CallDeferred):
        ask(provider, Purse(worst_case(Tier.FAST)), tier=None, min_tier=Tier.BALANCED)


def test_a_workflow_that_has_spent_its_own_limit_is_refused(provider: AnthropicModel) -> None:
    """That limit does not turn, so it is not waited for."""
    with pytest.raises(CostLimitReached):
        ask(provider, Purse(10, seconds=None))


def test_calls_in_flight_are_waited_for_before_anything_is_reduced(provider: AnthropicModel) -> None:
    """They may cost less than was reserved for them."""

    class Filling(Purse):
        def _refuse(self) -> None:
            if self.in_flight == 1:
                self.usd_micros = worst_case(Tier.BALANCED)
            super()._refuse()

    _, codes = ask(provider, Filling(10, in_flight=3))
    assert codes == []


def test_an_escalation_that_there_is_no_budget_for_is_left_out(provider: AnthropicModel) -> None:
    """The first answer is then all there is."""

    class Once(Purse):
        def start(self, call: StartedCall, settlements: Sequence[Settlement]) -> None:
            super().start(call, settlements)
            self.usd_micros = 0

    schema = {"type": "object", "properties": {"a": {"const": "never"}}, "required": ["a"]}
    purse = Once(None)
    asked = replace(request(tier=Tier.FAST), tier=None, output_schema=schema)
    model = gateway_to({"anthropic": provider}).for_step(StepJournal(identity(), purse))
    assert model.complete(asked, context()).tier
    assert purse.kinds.count("start") == 1


@pytest.mark.parametrize(
    ("level", "model"), [(Level.DEGRADE, "claude-sonnet-5-5"), (Level.THROTTLE, "claude-haiku-5-5")]
)
def test_a_nearly_used_budget_lowers_the_tier_and_says_so(
    provider: AnthropicModel, level: Level, model: str
) -> None:
    """With both models' names."""
    told = context()
    told.restraint = Restraint(level, "acme")
    asked = request(tier=Tier.POWERFUL)
    response = (
        gateway_to({"anthropic": provider}).for_step(StepJournal(identity(), Calls())).complete(asked, told)
    )
    assert response.model == model
    note, *others = told.degradations
    assert [other["code"] for other in others] == ["budget_throttled"] * (level is Level.THROTTLE)
    assert (note["code"], note["requested_model"], note["served_model"]) == (
        "budget_degraded",
        "claude-opus-5-5",
        model,
    )
    assert "acme" in note["message"]
