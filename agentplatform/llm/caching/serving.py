"""How an answer is given that was not bought: said, settled at no cost, and told as if a model spoke."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from agentplatform.budgets.thresholds import Level
from agentplatform.llm.caching.answers import KeptAnswer, Layer
from agentplatform.llm.caching.keys import CacheKey
from agentplatform.llm.caching.likeness import Likeness
from agentplatform.llm.journal import Settlement, StartedCall, StepIdentity
from agentplatform.llm.messages import ModelRequest, ModelResponse, Usage
from agentplatform.llm.model import CallContext
from agentplatform.llm.planning import CallPlace

PIECE_CHARACTERS = 24
"""About how much of a kept answer is told at once to those who listen."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer that is served. `likeness` is there where it is by meaning; `is_checked` if it is answered live, too."""

    answer: KeptAnswer
    layer: Layer
    likeness: Likeness | None = None
    is_less_alike: bool = False
    is_checked: bool = False

    @property
    def age_seconds(self) -> float:
        return round(max(0.0, time.time() - self.answer.created_at), 1)


def label_hit(context: CallContext, hit: Hit) -> None:
    """Says what is not as asked for: what the answer itself fell short of, that it is old, or less alike."""
    for told in hit.answer.degradations:
        context.degrade(**told)
    budget = context.restraint.budget
    if hit.answer.is_stale:
        context.degrade(
            "cache_stale", "Answered by a cached answer that had expired: there is no budget for another."
        )
    elif context.restraint.level >= Level.SHUTOFF:
        context.degrade("cache_at_shutoff", f"Budget '{budget}' is used up: answered from the cache alone.")
    if hit.is_less_alike:
        context.degrade(
            "cache_less_alike",
            "Answered by the cached answer to a question that is less alike than usually asked for.",
        )


def hit_settlement(
    step: StepIdentity, place: CallPlace, key: CacheKey, request: ModelRequest, hit: Hit
) -> Settlement:
    """The settlement of a call that was not made: what it served, and what it avoided."""
    response = hit.answer.response
    call = StartedCall(
        step=step,
        ordinal=place.ordinal,
        request_hash=place.request_hash,
        tier=response.tier,
        provider=response.provider,
        model=response.model,
        worst_case_usd_micros=0,
        routing_reason=f"from the cache: {hit.layer}",
    )
    return Settlement(
        call=call,
        status="settled",
        usage=Usage(),
        cost_usd_micros=0,
        price_version="cache",
        model=response.model,
        avoided_usd_micros=hit.answer.worth_usd_micros,
        served_tokens=response.usage.total_input_tokens + response.usage.output_tokens,
        response=_served(response),
        cache=_told(hit),
        check=_to_check(key, request) if hit.is_checked else None,
    )


def _to_check(key: CacheKey, request: ModelRequest) -> dict[str, Any]:
    """What is asked live; with what the user wants to know, so that it is routed as this request would have been."""
    return {"use_case": key.use_case, "request": {**request.to_json(), "asked": request.asked}}


def _served(response: ModelResponse) -> ModelResponse:
    return replace(response, usage=Usage(), request_id="", replayed=False)


def _told(hit: Hit) -> dict[str, Any]:
    return {
        "layer": hit.layer,
        "similarity": round(hit.likeness.similarity, 4) if hit.likeness is not None else 1.0,
        "probability": round(hit.likeness.probability, 4) if hit.likeness is not None else 1.0,
        "age_seconds": hit.age_seconds,
        "source_workflow_id": str(hit.answer.source_workflow_id),
        "entry_id": str(hit.answer.entry_id),
    }


def replay_text(context: CallContext, text: str) -> None:
    """Tells the text in pieces, as a model would have said it."""
    for piece in pieces(text):
        context.text(piece)


def pieces(text: str) -> Iterator[str]:
    """The text in order, cut after white space where it can be."""
    start = 0
    while start < len(text):
        end = start + PIECE_CHARACTERS
        cut = text.rfind(" ", start + 1, end) + 1
        end = end if len(text) <= end or cut <= start else cut
        yield text[start:end]
        start = end
