"""A model that answers from a script, and an attempt of a step that asks it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from agentplatform.agents.agent import StepContext
from agentplatform.execution.deadlines import Deadline
from agentplatform.llm.escalation import Escalated
from agentplatform.llm.messages import ModelRequest, ModelResponse, Usage
from agentplatform.llm.model import CallContext
from agentplatform.llm.providers.parameters import parameters_of

ONE = uuid.UUID(int=1)


class Script:
    """A model that answers with these texts, in order, and keeps what it was asked."""

    def __init__(self, *texts: str, stop_reason: str = "end_turn") -> None:
        self.texts = list(texts)
        self.stop_reason = stop_reason
        self.asked: list[ModelRequest] = []

    def complete(self, request: ModelRequest, context: CallContext) -> ModelResponse:
        self.asked.append(request)
        content = ({"type": "text", "text": self.texts.pop(0)},)
        return ModelResponse(content, self.stop_reason, Usage(), "m", "p", tier="fast")

    @property
    def prompts(self) -> list[str]:
        """The first message of each request, as a provider gets it."""
        return [_text(parameters_of(request, "m")["messages"][0]["content"]) for request in self.asked]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "\n".join(block["text"] for block in content)


def attempt(
    model: Any, workflow_input: Mapping[str, Any], needs: Mapping[str, Any] | None = None, item: Any = None
) -> StepContext:
    """An attempt of a step with this input, the outputs of the steps before it, and its element in a fan-out."""
    call = CallContext(Deadline.after(20))
    return StepContext(
        tenant_id=ONE,
        workflow_id=ONE,
        step_id=ONE,
        attempt=1,
        tier=None,
        input=workflow_input,
        needs=needs or {},
        item=item,
        options={},
        deadline=call.deadline,
        model=Escalated(model),
        call=call,
    )


def codes(step: StepContext) -> list[str]:
    """What was not as asked for."""
    return [item.code for item in step.degradations]
