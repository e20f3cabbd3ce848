"""Keys of answers: over the tenant, the scope, and what is asked."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from agentplatform.llm.caching.normalising import normalised, normalised_text
from agentplatform.llm.caching.policy import CachePolicy, Caching
from agentplatform.llm.messages import ModelRequest
from agentplatform.llm.tiers import Tier

MAX_SUBJECT_CHARACTERS = 1_000
"""A longer question is embedded by its beginning alone: it is answered by its words only."""


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Where an answer is kept: exactly (`key_hash`), and by its meaning (`subject` within `scope_hash`).

    Both hashes are over the tenant, too: no key is another tenant's. `subject` is "" where only the same words will do.
    """

    tenant_id: uuid.UUID
    use_case: str
    scope_hash: str
    key_hash: str
    subject: str


def cache_key(
    request: ModelRequest, policy: CachePolicy, tenant_id: uuid.UUID, agent: str, max_tier: Tier | None
) -> CacheKey:
    """The key of a request. What it is asked in (messages, documents) is in the exact key whole, earlier turns included.

    By its meaning an answer is kept where the step allows it and the request says what else it depends on; then the
    earlier turns are part of the scope, and only the last question may be put in other words.
    """
    scope = _scope(request, policy, tenant_id, agent, max_tier)
    content = {
        "scope": scope,
        "messages": normalised(request.messages),
        "document": normalised_text(request.document),
        "shared_context": normalised_text(request.shared_context),
    }
    subject = _subject(request, policy)
    scope_hash = _digest({"scope": scope, "turns": normalised(request.messages[:-1])}) if subject else ""
    return CacheKey(tenant_id, request.use_case, scope_hash, _digest(content), subject)


def result_key(
    *,
    tenant_id: uuid.UUID,
    version: str,
    workflow_input: Mapping[str, Any],
    depends_on: Sequence[str],
    max_tier: Tier | None,
) -> str:
    """The key of a whole run's result: over all that it depends on. `workflow_input` is without its volatile fields."""
    return _digest(
        {
            "tenant": str(tenant_id),
            "definition": version,
            "depends_on": depends_on,
            "max_tier": max_tier,
            "input": normalised(workflow_input),
        }
    )


def _scope(
    request: ModelRequest, policy: CachePolicy, tenant_id: uuid.UUID, agent: str, max_tier: Tier | None
) -> dict[str, Any]:
    scope: dict[str, Any] = {
        "tenant": str(tenant_id),
        "agent": agent,
        "definition": policy.version,
        "use_case": request.use_case,
        "tiers": [request.tier, request.min_tier, max_tier, request.escalated_from],
        "system": normalised_text(request.system),
        "tools": request.tools,
        "output_schema": request.output_schema,
        "max_tokens": request.max_tokens,
        "stop_sequences": request.stop_sequences,
        "depends_on": request.depends_on,
    }
    if request.tool_choice:
        scope["tool_choice"] = request.tool_choice
    return scope


def _subject(request: ModelRequest, policy: CachePolicy) -> str:
    if policy.caching is not Caching.SEMANTIC or request.depends_on is None or request.document:
        return ""
    subject = normalised_text(request.asked)
    return subject if len(subject) <= MAX_SUBJECT_CHARACTERS else ""


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(
        orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    ).hexdigest()
