"""Escalation: an answer that is not good enough is asked for once more, on the next tier."""

from __future__ import annotations

from dataclasses import replace

import orjson

from agentplatform.json_schema import faults_of
from agentplatform.llm.errors import CallDeferred, ContextWindowExceeded, CostLimitReached
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.llm.model import CallContext, Model
from agentplatform.llm.tiers import Tier


class Escalated:
    """Checks every answer, and asks the next tier where it is empty, refused or not of the request's schema.

    What there is no budget for is not asked again: the first answer is then all there is.
    """

    def __init__(self, inner: Model) -> None:
        self._inner = inner

    def complete(self, request: ModelRequest, context: CallContext) -> ModelResponse:
        response = self._inner.complete(request, context)
        flaw = flaw_of(request, response) if request.escalates and request.tier is None else None
        again = escalated(request, response, flaw) if flaw is not None else None
        if again is None:
            return response
        context.restart_text()
        try:
            return self._inner.complete(again, context)
        except (CostLimitReached, ContextWindowExceeded):
            return response
        except CallDeferred as deferred:
            if deferred.waiting_for != "budget":
                raise
            return response


def escalated(request: ModelRequest, response: ModelResponse, flaw: str) -> ModelRequest | None:
    """The request for the tier above the one that served `response`.

    Above the highest tier there is none: it is asked once more itself, unless it has refused (then None).
    """
    served = Tier(response.tier)
    if served.above is None and flaw == "refusal":
        return None
    return replace(request, min_tier=served.above or served, escalated_from=served, escalates=False)


def flaw_of(request: ModelRequest, response: ModelResponse) -> str | None:
    """What is wrong with an answer: refusal, empty_answer or schema; None if it can be used.

    One that reached its limit of tokens is no flaw of the model's.
    """
    if response.stop_reason == "refusal":
        return "refusal"
    if response.stop_reason == "max_tokens":
        return None
    if not response.text.strip() and not any(block.get("type") == "tool_use" for block in response.content):
        return "empty_answer"
    if request.output_schema is not None and not _is_of_schema(request, response):
        return "schema"
    return None


def _is_of_schema(request: ModelRequest, response: ModelResponse) -> bool:
    assert request.output_schema is not None
    try:
        return not faults_of(request.output_schema, orjson.loads(response.text))
    except (orjson.JSONDecodeError, OverflowError):
        return False
