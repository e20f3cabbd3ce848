"""Answers to keep."""

from __future__ import annotations

import time
import uuid

from agentplatform.llm.caching.answers import KeptAnswer
from agentplatform.llm.messages import ModelResponse, Usage


def answer_of(text: str = "Yes.") -> KeptAnswer:
    """An answer of these words."""
    response = ModelResponse(
        ({"type": "text", "text": text},), "end_turn", Usage(10, 2), "m", "p", tier="fast"
    )
    return KeptAnswer(response, 7, uuid.UUID(int=9), time.time())
