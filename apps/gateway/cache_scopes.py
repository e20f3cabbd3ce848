"""How each use case stands whose answers are given again by meaning."""

from __future__ import annotations

import uuid

from django.db.models import F, FloatField, QuerySet
from django.db.models.functions import Cast, Greatest

from agentplatform.llm.caching.watching import ErrorEstimate, estimate_from
from apps.gateway.models import CacheScope

ON, OFF, SWITCHED_OFF = "on", "off", "switched itself off"


def state_of(scope: CacheScope) -> str:
    """Whether questions are answered by meaning; if not, whether an operator or the layer itself has ended it."""
    if not scope.is_enabled:
        return OFF
    return ON if scope.switched_off_at is None else SWITCHED_OFF


def error_of(scope: CacheScope) -> ErrorEstimate | None:
    """The share of wrong answers among those that were checked, with its 95% interval; None before any was."""
    return estimate_from(scope.checked, scope.wrong) if scope.checked else None


def cache_scopes(tenant_id: uuid.UUID | None = None) -> QuerySet[CacheScope]:
    """Those of one tenant or of all: the ones that switched themselves off first, then those with most errors."""
    wrong_share = Cast("wrong", FloatField()) / Greatest(Cast("checked", FloatField()), 1.0)
    scopes = CacheScope.objects.select_related("tenant").order_by(
        F("switched_off_at").desc(nulls_last=True), wrong_share.desc(), "tenant__name", "use_case"
    )
    return scopes if tenant_id is None else scopes.filter(tenant=tenant_id)
