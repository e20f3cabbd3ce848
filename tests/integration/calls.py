"""Calls of the journal, for what only reads them."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils import timezone

from agentplatform.identifiers import uuid7
from apps.gateway.models import Call
from apps.tenants.models import Tenant


def call_make(tenant: Tenant, **fields: Any) -> Call:
    """A settled call of the journal."""
    told: dict[str, Any] = {
        "workflow_id": uuid.uuid4(),
        "step_id": uuid.uuid4(),
        "ordinal": 0,
        "status": "settled",
        "task_type": "extract_data",
        "agent": "extracting",
        "tier": "fast",
        "provider": "anthropic",
        "model": "claude-haiku-5-5",
        "input_tokens": 1_000,
        "cost_usd_micros": 500_000,
        "started_at": timezone.now(),
        **fields,
    }
    return Call.objects.create(id=uuid7(), tenant=tenant, attempt=1, request_hash="x", **told)
