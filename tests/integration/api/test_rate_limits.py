"""How many requests a tenant may send, and what its answers say of that."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest
from django.test import AsyncClient

from apps.api import rate_limits
from apps.api.rate_limits import AWAY_SECONDS, RequestLimiter
from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue, tenant_limit
from tests.integration.api.conftest import WORKFLOWS, Api, assert_problem


def test_every_answer_says_how_many_more_requests_there_may_be(api: Api) -> None:
    """A standard tenant has 600 a minute; errors count and say so as well."""
    first, second = api.get(WORKFLOWS), api.get(f"{WORKFLOWS}{uuid.uuid4()}/")
    assert second.status_code == 404
    assert (first["RateLimit-Limit"], first["RateLimit-Policy"]) == ("600", "600;w=60")
    assert int(first["RateLimit-Remaining"]) == 599
    assert int(second["RateLimit-Remaining"]) in (598, 599)
    assert first["RateLimit-Reset"] == "1"


def test_a_tenant_that_sends_too_many_is_refused(api: Api, other_api: Api, tenant: Tenant) -> None:
    """429 with the time to wait; other tenants, and other keys' requests of theirs, are served."""
    tenant_limit(tenant, {"requests_per_minute": 3})
    answers = [api.get(WORKFLOWS) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    problem = assert_problem(answers[3], 429, "too-many-requests")
    assert "3 requests a minute" in problem["detail"]
    assert 18 <= int(answers[3]["Retry-After"]) <= 20
    assert answers[3]["RateLimit-Remaining"] == "0"
    assert other_api.get(WORKFLOWS).status_code == 200
    second = Api(api_key_issue(name="second", tenant=tenant).plaintext)
    assert second.get(WORKFLOWS).status_code == 429


def test_a_changed_limit_holds_at_once(api: Api, tenant: Tenant) -> None:
    """It is read with the key."""
    tenant_limit(tenant, {"requests_per_minute": 1})
    assert [api.get(WORKFLOWS).status_code for _ in range(2)] == [200, 429]
    tenant_limit(tenant, {"requests_per_minute": None})
    time.sleep(0.15)  # what was used is used: the next of the 600 a minute comes in a tenth of a second
    answer = api.get(WORKFLOWS)
    assert (answer.status_code, answer["RateLimit-Limit"]) == (200, "600")


def test_a_refused_submission_stores_nothing(api: Api, tenant: Tenant, stored: Any) -> None:
    """It is refused before it is read."""
    tenant_limit(tenant, {"requests_per_minute": 1})
    api.get(WORKFLOWS)
    before = stored()
    assert api.post(WORKFLOWS, {"type": "one_noop", "input": {}}).status_code == 429
    assert stored() == before


def test_what_belongs_to_no_tenant_is_not_counted(anonymous: Api, db: None) -> None:
    """Operators, and requests without a key."""
    operator = Api(api_key_issue(name="operator").plaintext)
    for answer in (operator.get(WORKFLOWS), anonymous.get(WORKFLOWS), anonymous.get("/healthz")):
        assert "RateLimit-Limit" not in answer


@pytest.mark.django_db(transaction=True)
def test_an_event_stream_is_one_request() -> None:
    """However long it stays open; the one too many is refused before it begins."""
    from apps.tenants.services import tenant_create

    tenant = tenant_create(name="streams", tier="standard", limits={"requests_per_minute": 2})
    key = api_key_issue(name="first", tenant=tenant).plaintext
    workflow_id = Api(key).submit()

    async def status() -> tuple[int, str]:
        answer = await AsyncClient().get(
            f"{WORKFLOWS}{workflow_id}/events/", headers={"Authorization": f"Bearer {key}"}
        )
        answer.close()
        return answer.status_code, answer["RateLimit-Remaining"]

    assert asyncio.run(status()) == (200, "0")
    assert asyncio.run(status()) == (429, "0")


def test_two_processes_share_one_allowance(settings: Any) -> None:
    """Through Redis."""
    tenant_id = uuid.uuid4()
    one, other = (RequestLimiter(settings.REDIS_URL) for _ in range(2))
    taken = [limiter.take(tenant_id, 4).allowed for limiter in (one, other, one, other, one)]
    assert taken == [True, True, True, True, False]


def test_without_redis_each_process_counts_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Requests are served and limited, and Redis is not asked again for a while."""
    limiter = RequestLimiter("redis://127.0.0.1:1/0")
    tenant_id = uuid.uuid4()
    assert [limiter.take(tenant_id, 2).allowed for _ in range(3)] == [True, True, False]
    assert len(caplog.records) == 1
    assert AWAY_SECONDS <= 1.0


def test_tenants_that_were_counted_here_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without Redis does not grow for ever."""
    monkeypatch.setattr(rate_limits, "MOST_TENANTS", 10)
    limiter = RequestLimiter("redis://127.0.0.1:1/0")
    for _ in range(50):
        limiter.take(uuid.uuid4(), 10_000_000)
    assert len(limiter._due) <= 12
