"""The cache over REST: what it gave and how far it is trusted, and purging it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from apps.gateway.models import CacheEntry, CacheScope
from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue, tenant_create
from apps.workflows.letters import OperatorAction
from apps.workflows.models import Workflow
from tests.integration.api.conftest import Api, assert_problem
from tests.integration.caching.kept import asked, is_kept, keep, serve
from tests.integration.insights.conftest import DAY, HIT, spent, this_hour
from tests.integration.stack.launching import free_ports

CACHE = "/api/v1/cache/"
PURGE = f"{CACHE}purge/"
QUESTION = asked("When do employees travel first class?")
SUMMARY = asked("When do employees travel first class?", "summarize_document.summarize")


@pytest.fixture
def operator(db: None) -> Api:
    """The API with an operator's key."""
    return Api(api_key_issue(name="operator").plaintext)


@pytest.fixture
def rival(tenant: Tenant) -> Tenant:
    """Another tenant, with hits and a scope of its own."""
    rival = tenant_create(name="rival", tier="standard")
    spent(rival, 0.0, cache_layer="exact", **HIT)
    CacheScope.objects.create(tenant=rival, use_case="answer_question.answer")
    return rival


# --- What it gave ------------------------------------------------------------------------------------------


def test_a_tenant_sees_its_own_hits_by_layer_and_type(api: Api, tenant: Tenant, rival: Tenant) -> None:
    """With shares of all answers and what they avoided; nobody else's, and nothing from before."""
    for _ in range(2):
        spent(tenant, 1.0)
    spent(tenant, 0.0, cache_layer="exact", **HIT)
    spent(tenant, 0.0, cache_layer="semantic", task_type="summarize_document", **HIT)
    spent(tenant, 0.0, this_hour() - 31 * DAY, cache_layer="exact", **HIT)
    report = api.get(CACHE).json()
    exact = {"layer": "exact", "hits": 1, "served_tokens": 300, "avoided_usd_micros": 40}
    assert report["totals"] == {
        "answers": 4,
        "bought": 2,
        "hits": 2,
        "hit_share": 0.5,
        "served_tokens": 600,
        "avoided_usd_micros": 80,
        "layers": [
            {**exact, "hit_share": 0.25},
            {**exact, "layer": "semantic", "hit_share": 0.25},
        ],
    }
    by_type = {one["task_type"]: one for one in report["task_types"]}
    assert set(by_type) == {"answer_question", "summarize_document"}
    assert by_type["answer_question"]["hit_share"] == pytest.approx(1 / 3)
    assert by_type["summarize_document"]["layers"] == [{**exact, "layer": "semantic", "hit_share": 1.0}]
    assert {one["tenant"] for one in report["task_types"]} == {"acme"}
    assert report["scopes"] == []


def test_a_tenant_sees_how_far_its_answers_by_meaning_are_trusted(
    api: Api, tenant: Tenant, rival: Tenant
) -> None:
    """The threshold in force, and the error with its 95% interval."""
    told = {"threshold": 0.97, "checked": 100, "wrong": 20, "switched_off_because": "too many were wrong"}
    CacheScope.objects.create(
        tenant=tenant, use_case="a.b", **told, switched_off_at="2026-01-01T00:00:00Z", pinned_threshold=0.99
    )
    (scope,) = api.get(CACHE).json()["scopes"]
    assert scope == {
        "tenant_id": str(tenant.pk),
        "tenant": "acme",
        "use_case": "a.b",
        "is_serving": False,
        "threshold": 0.99,
        "is_pinned": True,
        "error_bound": 0.01,
        "checked": 100,
        "wrong": 20,
        "error_rate": 0.2,
        "error_low": pytest.approx(0.1267, abs=1e-4),
        "error_high": pytest.approx(0.2918, abs=1e-4),
        "switched_off_at": "2026-01-01T00:00:00Z",
        "switched_off_because": "too many were wrong",
    }


def test_an_operator_sees_all_tenants_or_one(operator: Api, api: Api, tenant: Tenant, rival: Tenant) -> None:
    """A tenant sees no other, not even by its id."""
    spent(tenant, 1.0)
    report = operator.get(CACHE).json()
    assert {one["tenant"] for one in report["task_types"]} == {"acme", "rival"}
    assert report["totals"]["hit_share"] == 0.5
    (scope,) = report["scopes"]
    assert (scope["tenant"], scope["is_serving"], scope["error_rate"]) == ("rival", True, None)
    report = operator.get(f"{CACHE}?tenant_id={tenant.pk}").json()
    assert (report["totals"]["hits"], report["totals"]["bought"], report["scopes"]) == (0, 1, [])
    assert_problem(api.get(f"{CACHE}?tenant_id={rival.pk}"), 404)
    assert api.get(f"{CACHE}?tenant_id={tenant.pk}").status_code == 200


@pytest.mark.parametrize("query", ["from=x", "to=2026-01-01T00:30:00Z", "tenant_id=x", "from=2199-01-01"])
def test_what_is_asked_for_has_to_make_sense(operator: Api, query: str) -> None:
    """Anything else is a 400 that names it."""
    assert_problem(operator.get(f"{CACHE}?{query}"), 400, "invalid-parameter")


def test_without_a_key_nothing_is_shown_or_purged(anonymous: Api) -> None:
    """401 for both."""
    assert_problem(anonymous.get(CACHE), 401)
    assert_problem(anonymous.post(PURGE, {"workflow_id": str(uuid.uuid4())}), 401)


def test_hits_count_in_usage_as_served_and_avoided(api: Api, tenant: Tenant) -> None:
    """As calls of their own kind that cost nothing."""
    spent(tenant, 1.0)
    nothing = {"input_tokens": 0, "output_tokens": 0}
    spent(tenant, 0.0, cache_layer="exact", **HIT, **nothing)
    document = api.get("/api/v1/usage/?group_by=kind").json()
    hit = next(row for row in document["rows"] if row["kind"] == "cache_hit")
    assert (hit["calls"], hit["cost_usd_micros"], hit["input_tokens"]) == (1, 0, 0)
    assert (hit["served_tokens"], hit["avoided_usd_micros"]) == (300, 40)
    assert (document["totals"]["calls"], document["totals"]["served_tokens"]) == (2, 300)


# --- Purging -----------------------------------------------------------------------------------------------


def test_a_tenant_purges_what_its_run_left(api: Api, tenant: Tenant) -> None:
    """Answers, its result, and the results of runs that were served by it; with a record of who did it."""
    run, served = api.submit(), api.submit()
    Workflow.objects.filter(pk__in=[run, served]).update(cache_key="k" * 64)
    serve(tenant, keep(tenant, QUESTION, workflow_id=uuid.UUID(run)), uuid.UUID(served))
    keep(tenant, SUMMARY)
    response = api.post(PURGE, {"workflow_id": run})
    assert response.status_code == 200, response.content
    assert response.json() == {"answers": 1, "results": 2}
    assert is_kept(tenant, QUESTION) == (False, False)
    assert is_kept(tenant, SUMMARY)[1]
    assert not Workflow.objects.filter(cache_key__isnull=False).exists()
    action = OperatorAction.objects.get()
    assert (action.name, action.affected) == ("cache.purge", 3)
    assert action.actor.startswith("key ap_")
    assert api.post(PURGE, {"workflow_id": run}).json() == {"answers": 0, "results": 0}


def test_a_tenant_purges_no_others_run_and_no_more_than_runs(
    api: Api, other_api: Api, tenant: Tenant
) -> None:
    """404 and 403, and everything is still there."""
    run = api.submit()
    keep(tenant, QUESTION, workflow_id=uuid.UUID(run))
    assert_problem(other_api.post(PURGE, {"workflow_id": run}), 404)
    assert_problem(api.post(PURGE, {"workflow_id": str(uuid.uuid4())}), 404)
    assert_problem(api.post(PURGE, {"tenant_id": str(tenant.pk)}), 403, "operator-key-needed")
    assert is_kept(tenant, QUESTION) == (True, True)
    assert not OperatorAction.objects.exists()


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ({"type": "answer_question"}, {"summarize_document.summarize"}),
        ({"use_case": "summarize_document.summarize"}, {"answer_question.answer"}),
        ({"use_case": "answer_question.nothing"}, {"summarize_document.summarize", "answer_question.answer"}),
        ({}, set()),
    ],
)
def test_an_operator_purges_a_type_a_use_case_or_a_tenant(
    operator: Api, tenant: Tenant, rival: Tenant, body: dict[str, str], left: set[str]
) -> None:
    """Of that tenant alone."""
    for request in (QUESTION, SUMMARY):
        keep(tenant, request)
    keep(rival, QUESTION)
    response = operator.post(PURGE, {"tenant_id": str(tenant.pk), "reason": "a wrong policy", **body})
    assert response.json()["answers"] == 2 - len(left)
    assert set(CacheEntry.objects.filter(tenant=tenant).values_list("use_case", flat=True)) == left
    assert is_kept(rival, QUESTION)[1]
    assert OperatorAction.objects.get().details["reason"] == "a wrong policy"


def test_an_operator_purges_any_run(operator: Api, api: Api, tenant: Tenant) -> None:
    """Whosever it is."""
    run = api.submit()
    keep(tenant, QUESTION, workflow_id=uuid.UUID(run))
    assert operator.post(PURGE, {"workflow_id": run}).json()["answers"] == 1
    assert_problem(operator.post(PURGE, {"workflow_id": str(uuid.uuid4())}), 404)
    assert_problem(operator.post(PURGE, {"tenant_id": str(uuid.uuid4())}), 404)


ID = str(uuid.uuid4())


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"workflow_id": "x"},
        {"workflow_id": None},
        {"workflow_id": ID, "tenant_id": ID},
        {"workflow_id": ID, "type": "answer_question"},
        {"type": "answer_question"},
        {"tenant_id": ID, "type": "a", "use_case": "a.b"},
        {"tenant_id": ID, "use_case": 5},
        {"tenant_id": ID, "everything": True},
        [],
    ],
)
def test_what_is_to_be_purged_has_to_be_said(operator: Api, tenant: Tenant, body: Any) -> None:
    """Else nothing is, and nothing is recorded."""
    keep(tenant, QUESTION)
    assert_problem(operator.post(PURGE, body), 400)
    assert is_kept(tenant, QUESTION) == (True, True)
    assert not OperatorAction.objects.exists()


def test_a_purge_that_redis_does_not_hear_of_is_a_503(
    operator: Api, api: Api, tenant: Tenant, settings: Any
) -> None:
    """Whoever purges has to know, and to send it again."""
    run = api.submit()
    keep(tenant, QUESTION, workflow_id=uuid.UUID(run))
    address = settings.REDIS_URL
    (port,) = free_ports(1)
    settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
    problem = assert_problem(operator.post(PURGE, {"workflow_id": run}), 503, "cache-unavailable")
    assert "again" in problem["detail"]
    settings.REDIS_URL = address
    assert operator.post(PURGE, {"workflow_id": run}).status_code == 200
    assert is_kept(tenant, QUESTION) == (False, False)
