"""An answer that is not good enough is asked for once more, on the next tier."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from agentplatform.llm.errors import CostLimitReached, ModelError
from agentplatform.llm.escalation import Escalated, flaw_of
from agentplatform.llm.gateway import Gateway
from agentplatform.llm.journal import StartedCall, StepJournal
from agentplatform.llm.messages import ModelRequest, ModelResponse, Usage
from agentplatform.llm.model import CallContext
from agentplatform.llm.tiers import Tier
from tests.unit.conftest import RunningSimulator
from tests.unit.llm.conftest import Calls, context, identity, request

SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "integer", "minimum": 1}},
    "required": ["total"],
    "additionalProperties": False,
}


def answer(text: str, stop_reason: str = "end_turn", tier: str = "fast") -> ModelResponse:
    return ModelResponse(({"type": "text", "text": text},), stop_reason, Usage(), "m", "p", tier=tier)


class Script:
    """A model that answers with these, and keeps what it was asked."""

    def __init__(self, *answers: ModelResponse | ModelError) -> None:
        self.answers = list(answers)
        self.asked: list[ModelRequest] = []

    def complete(self, request: ModelRequest, context: CallContext) -> ModelResponse:
        self.asked.append(request)
        given = self.answers.pop(0)
        if isinstance(given, ModelError):
            raise given
        return given


ROUTED = replace(request(), tier=None)


@pytest.mark.parametrize(
    ("schema", "response", "flaw"),
    [
        (None, answer("Fine."), None),
        (None, answer("  "), "empty_answer"),
        (None, answer("I won't.", "refusal"), "refusal"),
        (None, answer("", "max_tokens"), None),
        (SCHEMA, answer('{"total": 3}'), None),
        (SCHEMA, answer('{"total": 0}'), "schema"),
        (SCHEMA, answer('{"total": '), "schema"),
        (SCHEMA, answer('{"total": ', "max_tokens"), None),
    ],
)
def test_what_is_wrong_with_an_answer(
    schema: Mapping[str, Any] | None, response: ModelResponse, flaw: str | None
) -> None:
    """One that reached its limit of tokens is no fault of the model's."""
    assert flaw_of(replace(ROUTED, output_schema=schema), response) == flaw


def test_a_call_that_uses_a_tool_is_not_empty() -> None:
    """It has no text, and needs none."""
    response = ModelResponse(({"type": "tool_use", "name": "t"},), "tool_use", Usage(), "m", "p", tier="fast")
    assert flaw_of(ROUTED, response) is None


def test_the_next_tier_is_asked_once() -> None:
    """With where it comes from; what that says is the answer, whatever it is."""
    script = Script(answer(" "), answer("  ", tier="balanced"))
    response = Escalated(script).complete(ROUTED, context())
    assert response.tier == "balanced"
    first, second = script.asked
    assert (second.min_tier, second.escalated_from) == (Tier.BALANCED, Tier.FAST)
    assert second.content_hash != first.content_hash


@pytest.mark.parametrize("asked", [replace(ROUTED, tier=Tier.FAST), replace(ROUTED, escalates=False)])
def test_a_pinned_tier_and_an_agent_that_asks_itself_are_left_alone(asked: ModelRequest) -> None:
    """They get the answer there is."""
    script = Script(answer(" "))
    assert Escalated(script).complete(asked, context()).text == " "


def test_above_the_highest_tier_it_is_asked_again_itself_unless_it_refused() -> None:
    """An empty answer may be chance; a refusal is not."""
    script = Script(answer(" ", tier="powerful"), answer("Fine.", tier="powerful"))
    assert Escalated(script).complete(ROUTED, context()).text == "Fine."
    script = Script(answer("No.", "refusal", tier="powerful"))
    assert Escalated(script).complete(ROUTED, context()).stop_reason == "refusal"


def test_without_budget_the_first_answer_is_all_there_is() -> None:
    """Another failure of the second call is the step's."""
    script = Script(answer(" "), CostLimitReached("max_cost_exceeded", "…", transient=False))
    assert Escalated(script).complete(ROUTED, context()).text == " "
    script = Script(answer(" "), ModelError("overloaded_error", "…", transient=True))
    with pytest.raises(ModelError):
        Escalated(script).complete(ROUTED, context())


def test_an_escalated_call_is_bought_once_whatever_happens_later(
    gateway: Gateway, calls: Calls, simulator: RunningSimulator
) -> None:
    """Both calls are in the journal, and replayed."""
    simulator.set_provider("anthropic", quality={"by_model": {"claude-haiku-5-5": 0.0}})
    journal = StepJournal(identity(), calls)
    response = gateway.for_step(journal).complete(ROUTED, context())
    journal.flush()
    started: list[StartedCall] = [call for kind, call in calls.log if kind == "start"]
    assert [(call.tier, call.escalated_from, call.ordinal) for call in started] == [
        ("fast", "", 0),
        ("balanced", "fast", 1),
    ]
    entries = [
        {
            "ordinal": one.call.ordinal,
            "request_hash": one.call.request_hash,
            "response": json.loads(json.dumps(one.to_json()))["response"],
        }
        for kind, one in calls.log
        if kind == "settle"
    ]
    simulator.reset()
    again = gateway.for_step(StepJournal(identity(2), calls, entries)).complete(ROUTED, context())
    assert again == response
    assert simulator.calls()["total"] == 0
