"""Answers as the tests of caching keep them: by the real store, in the real Redis and database."""

from __future__ import annotations

import time
import uuid
from typing import Any

from agentplatform.embedding.vectors import MODEL_NAME, Vector
from agentplatform.identifiers import uuid7
from agentplatform.llm.caching.answers import KeptAnswer
from agentplatform.llm.caching.keys import CacheKey, cache_key
from agentplatform.llm.caching.policy import CachePolicy, Caching
from agentplatform.llm.messages import ModelRequest, ModelResponse, Usage
from agentplatform.llm.tiers import Tier
from apps.gateway.answers import shared_answers
from apps.gateway.models import CacheCheck, Call
from apps.tenants.models import Tenant


def asked(question: str, use_case: str = "answer_question.answer") -> ModelRequest:
    """A request whose answer may serve again."""
    return ModelRequest(
        Tier.FAST,
        ({"role": "user", "content": question},),
        100,
        use_case=use_case,
        asked=question,
        depends_on=(),
        cache=CachePolicy(Caching.SEMANTIC, 3_600, "1"),
    )


def key_of(tenant: Tenant, request: ModelRequest) -> CacheKey:
    """Where its answer is kept."""
    return cache_key(request, request.cache, tenant.pk, "answer_question", None)


def answer_of(text: str = "Yes.", workflow_id: uuid.UUID | None = None) -> KeptAnswer:
    """An answer of these words that a run has bought."""
    response = ModelResponse(
        ({"type": "text", "text": text},),
        "end_turn",
        Usage(10, 5),
        "claude-haiku-5-5",
        "anthropic",
        tier="fast",
    )
    return KeptAnswer(response, 70, workflow_id or uuid7(), time.time())


def keep(
    tenant: Tenant,
    request: ModelRequest,
    text: str = "So.",
    *,
    workflow_id: uuid.UUID | None = None,
    seconds: float = 3_600,
) -> KeptAnswer:
    """Keeps an answer that a run has bought, in Redis and in the database."""
    return keep_at(key_of(tenant, request), answer_of(text, workflow_id), seconds=seconds)


def keep_at(
    key: CacheKey, answer: KeptAnswer, vector: Vector | None = None, *, seconds: float = 3_600
) -> KeptAnswer:
    """Keeps an answer under a key, with the vector of its question if there is one."""
    document = {
        "entry_id": str(answer.entry_id),
        "use_case": key.use_case,
        "scope_hash": key.scope_hash,
        "key_hash": key.key_hash,
        "subject": key.subject,
        "worth_usd_micros": answer.worth_usd_micros,
        "ttl_seconds": seconds,
        "vector": str(vector) if vector else None,
        "vector_model": MODEL_NAME,
    }
    shared_answers().put(key, "nobody", answer, 600)
    shared_answers().keep(key, answer, uuid7(), document)
    return answer


def is_kept(tenant: Tenant, request: ModelRequest) -> tuple[bool, bool]:
    """Whether its answer is in Redis, and whether it is in the database."""
    key, store = key_of(tenant, request), shared_answers()
    in_redis = isinstance(store.look(key, "nobody"), KeptAnswer)
    if not in_redis:
        store.give_up(key, "nobody")
    return in_redis, store.recall(key) is not None


def serve(tenant: Tenant, answer: KeptAnswer, workflow_id: uuid.UUID, *, layer: str = "semantic") -> Call:
    """A call of a run that was served this answer."""
    return Call.objects.create(
        id=uuid7(),
        tenant=tenant,
        workflow_id=workflow_id,
        step_id=uuid7(),
        attempt=1,
        ordinal=0,
        request_hash="0" * 64,
        status="settled",
        task_type="answer_question",
        agent="answer_question",
        tier="fast",
        provider="anthropic",
        model="claude-haiku-5-5",
        response=answer.response.to_json(),
        cache={
            "layer": layer,
            "similarity": 0.97,
            "probability": 0.95,
            "age_seconds": 1.0,
            "source_workflow_id": str(answer.source_workflow_id),
            "entry_id": str(answer.entry_id),
        },
    )


def check_of(tenant: Tenant, **fields: Any) -> CacheCheck:
    """A check of a hit by meaning, as these fields say."""
    ids = {name: uuid7() for name in ("call_id", "workflow_id", "entry_id")}
    return CacheCheck.objects.create(
        **{"tenant": tenant, "similarity": 0.9, "probability": 0.95} | ids | fields
    )
