"""The journal of tool calls: what was done is told again, what may have been done is not done twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentplatform.agents.tools.tool import ToolError
from agentplatform.llm.errors import Interrupted
from agentplatform.llm.journal import Settlement, StartedCall
from agentplatform.llm.messages import ModelResponse, Usage
from apps.gateway.models import Call
from apps.tools.models import ToolCall
from apps.tools.services import tool_results_erase
from apps.workflows.models import Step
from tests.integration.tools.conftest import Attempts, Charge, use

StepOf = Callable[..., Attempts]


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("is_idempotent", [True, False])
def test_a_call_that_has_ended_is_told_again_and_not_made(step_of: StepOf, is_idempotent: bool) -> None:
    """On whatever later attempt, as long as it is the same call at the same place."""
    tool = Charge(is_idempotent=is_idempotent)
    attempts = step_of(tool)
    first = use(attempts.begin(), tool, cents=5)
    attempts.fail()
    again = use(attempts.begin(), tool, cents=5)
    assert (first.content, tool.times) == (again.content, 1)
    assert again.status == "succeeded"


def test_a_call_that_failed_is_told_again(step_of: StepOf) -> None:
    """Its model has answered to that, and what it answered has been paid for."""
    tool = Charge()
    tool.error = ToolError("down", "It is down.")
    attempts = step_of(tool)
    use(attempts.begin(), tool)
    attempts.fail()
    tool.error = None
    assert use(attempts.begin(), tool).code == "down"
    assert tool.times == 1


def test_another_call_at_the_same_place_is_made(step_of: StepOf) -> None:
    """Where the model asks for something else than on the attempt before."""
    tool = Charge()
    attempts = step_of(tool)
    use(attempts.begin(), tool, cents=5)
    attempts.fail()
    assert use(attempts.begin(), tool, cents=6).content["charged"] == 6
    assert tool.times == 2


def test_a_call_that_nobody_came_back_from_is_not_made_again(step_of: StepOf) -> None:
    """It may have been done: the model is told that nobody knows."""
    tool = Charge(is_idempotent=False)
    tool.error = Killed()
    attempts = step_of(tool)
    context = attempts.begin()
    with pytest.raises(Killed):
        use(context, tool, cents=5)
    assert ToolCall.objects.get().status == "started"
    attempts.fail()
    tool.error = None
    result = use(attempts.begin(), tool, cents=5)
    assert (result.status, result.code, tool.times) == ("unknown", "outcome_unknown", 1)
    assert "nobody knows whether it was done" in result.content
    assert ToolCall.objects.get().status == "unknown"


def test_an_idempotent_call_that_nobody_came_back_from_is_made_again_under_its_key(step_of: StepOf) -> None:
    """With the same key, by which the other side knows it."""
    tool = Charge(cost_usd_micros=0)
    tool.error = Killed()
    attempts = step_of(tool)
    context = attempts.begin()
    with pytest.raises(Killed):
        use(context, tool, cents=5)
    attempts.fail()
    tool.error = None
    assert use(attempts.begin(), tool, cents=5).status == "succeeded"
    assert tool.times == 2
    assert tool.keys[0] == tool.keys[1]


def test_one_that_may_have_been_done_is_unknown_unless_it_is_idempotent(step_of: StepOf) -> None:
    """A timeout after it was sent says nothing of what became of it."""
    late = ToolError("timeout", "It did not answer in time.", is_unknown=True)
    once, often = Charge(is_idempotent=False), Charge()
    once.error = often.error = late
    attempts = step_of(once)
    context = attempts.begin()
    assert use(context, once).status == "unknown"
    assert use(context, often).status == "failed"


def test_an_attempt_that_is_not_the_running_one_begins_no_call(step_of: StepOf) -> None:
    """A worker that slept through its lease has nothing to say any more."""
    tool = Charge(is_idempotent=False)
    attempts = step_of(tool)
    context = attempts.begin()
    Step.objects.filter(pk=context.step_id).update(attempt=2)
    with pytest.raises(Interrupted):
        use(context, tool)
    assert (tool.times, ToolCall.objects.count()) == (0, 0)


def test_what_asked_for_a_call_is_settled_before_it_is_made(step_of: StepOf) -> None:
    """So that the next attempt replays it, asks for the same call, and finds that it was made."""
    tool = Charge(is_idempotent=False)
    attempts = step_of(tool)
    context = attempts.begin()
    call = StartedCall(attempts.journal.step, 0, "hash", "fast", "anthropic", "m", 1_000)
    attempts.journal.start(call)
    response = ModelResponse(({"type": "text", "text": "hi"},), "tool_use", Usage(), "m", "anthropic")
    attempts.journal.settle(Settlement(call, "settled", Usage(), 0, "v1", "m", response=response))
    tool.error = Killed()
    with pytest.raises(Killed):
        use(context, tool)
    assert Call.objects.get().status == "settled"
    assert attempts.journal.pending == []


def test_a_later_attempt_has_the_tools_of_the_one_before(step_of: StepOf) -> None:
    """Though one has come meanwhile: its model is asked the same, and what was answered is replayed."""
    first, second = Charge(), Charge()
    second.spec = type(first.spec)("other", "Other.", {"type": "object"})
    attempts = step_of(first)
    use(attempts.begin(), first)
    attempts.fail()
    attempts.tools = type(attempts.tools)(
        type(attempts.tools._source)(first, second), None, attempts.tools._store
    )
    context = attempts.begin()
    assert [one.spec.name for one in context.tools.offer(context, []).tools] == ["charge"]


def test_calls_of_a_step_stand_in_the_order_in_which_they_were_made(step_of: StepOf) -> None:
    """With what they took; neither what went in nor what came out is in their names."""
    tool = Charge()
    attempts = step_of(tool)
    context = attempts.begin()
    for cents in (1, 2, 2):
        use(context, tool, cents=cents)
    rows = list(
        ToolCall.objects.order_by("attempt", "ordinal").values_list("ordinal", "tool", "status", "attempt")
    )
    assert rows == [(n, "charge", "succeeded", 1) for n in range(3)]
    assert tool.times == 3


def test_what_came_out_is_erased_with_the_run_it_is_of(step_of: StepOf) -> None:
    """What was called stays."""
    tool = Charge()
    attempts = step_of(tool)
    use(attempts.begin(), tool, cents=5)
    assert tool_results_erase([attempts.step.workflow_id]) == 1
    call = ToolCall.objects.get()
    assert (call.tool, call.result) == ("charge", None)
