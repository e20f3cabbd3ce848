"""Where nothing more may be bought, what is kept is given all the same, and said."""

from __future__ import annotations

from datetime import timedelta

import redis
from django.db.models.functions import Now

from agentplatform.llm.caching.policy import CacheControl
from apps.budgets.models import Budget
from apps.gateway.models import CacheEntry
from apps.tenants.models import Tenant
from tests.integration.caching.conftest import Answered
from tests.unit.conftest import RunningSimulator


def spent(tenant: Tenant) -> None:
    """From here on the tenant can buy nothing."""
    Budget.objects.create(name="acme", scope="tenant", tenant=tenant, daily_usd_micros=1)


def test_a_kept_answer_is_given_though_the_budget_is_used_up(
    answered: Answered, tenant: Tenant, simulator: RunningSimulator
) -> None:
    """It costs nothing, so nothing holds it."""
    first = answered()
    spent(tenant)
    second = answered()
    assert (second.status, second.result) == ("succeeded", first.result)
    assert simulator.calls()["total"] == 1


def test_an_answer_that_has_expired_is_given_before_a_step_is_held(
    answered: Answered, tenant: Tenant, simulator: RunningSimulator, server: redis.Redis
) -> None:
    """And it is said that it is old."""
    first = answered()
    server.flushdb()
    CacheEntry.objects.update(expires_at=Now() - timedelta(hours=1))
    spent(tenant)
    second = answered()
    assert (second.status, second.result, second.cost_usd_micros) == ("succeeded", first.result, 0)
    assert [told["code"] for told in second.degradations] == ["cache_stale"]
    assert simulator.calls()["total"] == 1


def test_one_that_asked_for_a_new_answer_is_held(
    answered: Answered, tenant: Tenant, simulator: RunningSimulator
) -> None:
    """What it does not want it is not given."""
    answered()
    spent(tenant)
    second = answered(cache_control=CacheControl.NO_CACHE)
    assert (second.status, second.result) == ("held", None)
    assert simulator.calls()["total"] == 1
