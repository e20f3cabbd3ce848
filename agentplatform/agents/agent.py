"""The Agent protocol, and what an agent is given."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentplatform.execution.deadlines import Deadline
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.llm.model import CallContext, Model
from agentplatform.llm.tiers import Tier


@dataclass(frozen=True, slots=True)
class Degradation:
    """Something that was not as asked for: said with the result, never in silence."""

    code: str
    message: str

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message}


@dataclass(slots=True)
class StepContext:
    """One attempt of a step, as its agent sees it.

    `input` is the workflow's input; `needs` has the output of every step it needs, None where one was skipped;
    `item` is its element in a fan-out; `options` are the definition's. `degradations` is the agent's to add to.
    """

    tenant_id: uuid.UUID
    workflow_id: uuid.UUID
    step_id: uuid.UUID
    attempt: int
    tier: Tier
    input: Mapping[str, Any]
    needs: Mapping[str, Any]
    item: Any
    options: Mapping[str, Any]
    deadline: Deadline
    model: Model
    call: CallContext
    degradations: list[Degradation] = field(default_factory=list)

    def complete(
        self, prompt: str, *, system: str = "", max_tokens: int, tier: Tier | None = None
    ) -> ModelResponse:
        """Asks a model of the step's tier (or of `tier`) one question. Raises ModelError."""
        request = ModelRequest(
            tier=tier or self.tier,
            system=system,
            messages=({"role": "user", "content": prompt},),
            max_tokens=max_tokens,
        )
        return self.model.complete(request, self.call)


class StepError(Exception):
    """An agent gives up on its step. `message` says what to do; it holds no prompt and no output."""

    def __init__(self, code: str, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.transient = transient


class Agent(Protocol):
    """Does the work of a step. Runs at least once: an attempt may follow one that was lost half-way."""

    def run(self, step: StepContext) -> Any:
        """The step's output, a JSON value. Raises StepError or ModelError."""
