"""The journal of tool calls in the database: fenced by the step's attempt, charged to its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentplatform.agents.tools.journal import EndedToolCall, StartedToolCall
from agentplatform.llm.errors import Interrupted
from agentplatform.llm.journal import Settlement, StepIdentity
from apps.database import call_function, from_jsonb, to_jsonb, until_answered
from apps.workflows.store import OUTAGE_PATIENCE_SECONDS, budget_short


class DatabaseToolCallStore:
    """Keeps tool calls in `tools_toolcall`."""

    def start(self, call: StartedToolCall, settlements: Sequence[Settlement]) -> None:
        ((told,),) = _answered(
            "workflows_start_tool_call", call.step, to_jsonb(call.to_json()), _settlements(settlements)
        )
        refusal = from_jsonb(told)
        if refusal is None:
            return
        if refusal["code"] == "stale":
            message = "The step is run by another attempt; this one makes no call."
            raise Interrupted("stale_attempt", message, transient=True)
        raise budget_short(refusal)

    def end(self, ended: EndedToolCall, settlements: Sequence[Settlement]) -> None:
        document = to_jsonb(ended.to_json())
        _answered("workflows_end_tool_call", ended.call.step, document, _settlements(settlements))

    def calls_before(self, step: StepIdentity) -> Sequence[Mapping[str, Any]]:
        ((told,),) = until_answered(
            lambda: call_function(
                "workflows_tool_calls_before", [step.step_id, step.attempt], ["uuid", "int"]
            ),
            what="journal of tool calls",
            give_up_after_seconds=OUTAGE_PATIENCE_SECONDS,
        )
        return list(from_jsonb(told))


def _answered(function: str, step: StepIdentity, document: str, settlements: str) -> list[Any]:
    return until_answered(
        lambda: call_function(
            function, [step.workflow_id, document, settlements], ["uuid", "jsonb", "jsonb"]
        ),
        what="tool call",
        give_up_after_seconds=OUTAGE_PATIENCE_SECONDS,
    )


def _settlements(settlements: Sequence[Settlement]) -> str:
    return to_jsonb([settlement.to_json() for settlement in settlements])
