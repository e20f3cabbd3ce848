"""Hits by meaning that are also answered live: each by a run of its tenant's, in the batch queue, within its budgets.

Such a run is told the check's id alone. What was asked and what was served stays in the check's row until it is decided.
"""

from __future__ import annotations

import uuid
from operator import mul
from typing import Any

import orjson
from django.conf import settings
from django.db.models import Exists, OuterRef

from agentplatform.agents.agent import StepContext
from agentplatform.agents.registry import registry
from agentplatform.budgets.thresholds import Level
from agentplatform.llm.batching import BATCH_QUEUE
from agentplatform.llm.caching.agreement import Agreement, compare
from agentplatform.llm.messages import ModelRequest, ModelResponse
from agentplatform.workflows.definition import Definition, StepSpec
from apps.database import release_connection
from apps.embedder import question_vector
from apps.gateway.cache_check_services import (
    check_decide,
    check_started,
    checks_fail,
    checks_give_up_old,
    checks_take,
)
from apps.gateway.models import CacheCheck
from apps.tenants.models import Tenant
from apps.workflows.models import Workflow
from apps.workflows.selectors import internal_definition
from apps.workflows.services import DEFAULT_DEADLINE_SECONDS, Submission, workflow_start

CHECK_TYPE = "check_cached_answer"
VECTOR_SECONDS = 5.0
"""How long a check waits for the embedder; nobody waits for the check."""
COMPARED_CHARACTERS = 4_000
"""An answer's vector is of its beginning; the model reads no more than this of it in any case."""

check_cached_answer = registry.define(
    Definition(
        type=CHECK_TYPE,
        title="Check a cached answer",
        description="Answers live what was answered by meaning from the cache, and compares both answers.",
        input_schema={
            "type": "object",
            "properties": {"check_id": {"type": "string", "format": "uuid"}},
            "required": ["check_id"],
            "additionalProperties": False,
        },
        steps=(
            StepSpec(
                key="ask",
                agent=CHECK_TYPE,
                tolerates_delay=True,
                estimated_tokens=3_000,
                max_input_tokens=80_000,
                max_output_tokens=4_000,
                max_attempts=2,
            ),
        ),
        result="ask",
        is_internal=True,
    )
)


@registry.agent(CHECK_TYPE)
class CheckCachedAnswer:
    """Output: `{"verdict"}`, agreed, differed or failed. While budgets are strained nothing is asked."""

    def run(self, step: StepContext) -> Any:
        check = _opened(uuid.UUID(step.input["check_id"]), step.tenant_id)
        if check is None:
            return {"verdict": "failed"}
        assert check.request is not None
        assert check.served is not None
        if step.call.restraint.level >= Level.DEGRADE:
            return _failed(check)
        response = step.model.complete(ModelRequest.from_json(check.request), step.call)
        if step.call.degradations or response.stop_reason == "refusal":
            return _failed(check)  # another model than would have answered; or no answer to compare
        agreement = _compared(step.tenant_id, response, ModelResponse.from_json(check.served))
        try:
            check_decide(check.pk, agrees=agreement.agrees)
        finally:
            release_connection()
        return {"verdict": "agreed" if agreement.agrees else "differed", "because": agreement.because}


def checks_advance() -> int:
    """Gives up checks that came to nothing, and starts a run for each of those that are due; returns how many."""
    try:
        ended = Workflow.objects.filter(pk=OuterRef("check_workflow_id")).exclude(finished_at=None)
        checks_fail(CacheCheck.objects.filter(Exists(ended), status=CacheCheck.Status.ASKED))
        checks_give_up_old()
        taken = checks_take() if "semantic" in settings.CACHE_LAYERS else []
        for check in taken:
            check_start(check)
        return len(taken)
    finally:
        release_connection()


def check_start(check: CacheCheck) -> None:
    """Starts the run that answers it live; started again, it is the same run."""
    submission = Submission(
        definition=internal_definition(CHECK_TYPE),
        input={"check_id": str(check.pk)},
        queue=BATCH_QUEUE,
        deadline_seconds=DEFAULT_DEADLINE_SECONDS[BATCH_QUEUE],
    )
    tenant = Tenant.objects.get(pk=check.tenant_id)
    started = workflow_start(tenant=tenant, submission=submission, idempotency_key=f"{CHECK_TYPE} {check.pk}")
    check_started(check.pk, started.id)


def _opened(check_id: uuid.UUID, tenant_id: uuid.UUID) -> CacheCheck | None:
    try:
        checks = CacheCheck.objects.filter(pk=check_id, tenant=tenant_id, status=CacheCheck.Status.ASKED)
        return checks.exclude(request=None).exclude(served=None).first()
    finally:
        release_connection()


def _failed(check: CacheCheck) -> dict[str, str]:
    try:
        checks_fail(CacheCheck.objects.filter(pk=check.pk))
    finally:
        release_connection()
    return {"verdict": "failed"}


def _compared(tenant_id: uuid.UUID, live: ModelResponse, kept: ModelResponse) -> Agreement:
    one, other = _said(live), _said(kept)
    agreement = compare(one, other, None)
    if not agreement.is_by_likeness:
        return agreement
    texts = (one[:COMPARED_CHARACTERS], other[:COMPARED_CHARACTERS])
    vectors = [question_vector(tenant_id, text, timeout_seconds=VECTOR_SECONDS) for text in texts]
    if vectors[0] is None or vectors[1] is None:
        return agreement  # by their words alone: the answer is paid for
    return compare(one, other, sum(map(mul, vectors[0], vectors[1])))


def _said(response: ModelResponse) -> str:
    """The text of an answer, or the calls of tools that it consists of."""
    calls = [
        {"name": block["name"], "input": block["input"]}
        for block in response.content
        if block.get("type") == "tool_use"
    ]
    return orjson.dumps(calls).decode() if calls else response.text
