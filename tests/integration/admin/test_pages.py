"""Every page of the admin, with something on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_celery_results.models import TaskResult

from agentplatform.identifiers import uuid7
from apps.budgets.models import LedgerEntry
from apps.database import call_function
from apps.gateway.admin.forms import PRICES
from apps.gateway.models import (
    CacheCheck,
    CacheEntry,
    CacheScope,
    Call,
    CircuitTrip,
    ModelPrice,
    ModelTier,
    Provider,
    ProviderRate,
)
from apps.insights.models import DriftReading, DriftReference, DriftWindow, HourlyRunProfile
from apps.insights.profiling import full_hour, hour_profile
from apps.knowledge.models import Document, Session
from apps.knowledge.services import document_create
from apps.notifications.endpoints import endpoint_create
from apps.notifications.models import Delivery, Endpoint, Notice, Recipient
from apps.notifications.services import notify
from apps.tenants.models import ApiKey, Tenant, TenantTier, User
from apps.tenants.services import api_key_issue, tenant_create
from apps.workflows.heartbeat import heartbeat_write
from apps.workflows.models import Feedback, Heartbeat, QueueConfig, Step, Workflow, WorkflowDefinition
from apps.workflows.services import feedback_give
from tests.integration.admin.conftest import HOSTILE, HOSTILE_ESCAPED, Person, change_url, list_url
from tests.integration.caching.kept import check_of
from tests.integration.conftest import Hand

SHOWN = (
    Tenant,
    TenantTier,
    ApiKey,
    User,
    LedgerEntry,
    Call,
    ModelTier,
    Provider,
    ModelPrice,
    CircuitTrip,
    CacheEntry,
    CacheScope,
    CacheCheck,
    Document,
    Session,
    Workflow,
    Step,
    Feedback,
    WorkflowDefinition,
    QueueConfig,
    Heartbeat,
    TaskResult,
    Notice,
    Endpoint,
    Recipient,
    Delivery,
    HourlyRunProfile,
    DriftWindow,
    DriftReference,
)
READ_ONLY = (
    ApiKey,
    LedgerEntry,
    Call,
    CircuitTrip,
    CacheEntry,
    CacheCheck,
    Document,
    Session,
    Workflow,
    Step,
    Feedback,
    WorkflowDefinition,
    Heartbeat,
    TaskResult,
    Notice,
    Delivery,
    HourlyRunProfile,
    DriftWindow,
)


@pytest.fixture
def everything(tenant: Tenant, failed: Workflow) -> None:
    """One of everything that the admin shows."""
    api_key = api_key_issue(name=HOSTILE, tenant=tenant).api_key
    feedback_give(failed, api_key=api_key, rating=Feedback.Rating.DOWN, comment=f"{HOSTILE} " * 20)
    document_create(tenant=tenant, title=HOSTILE, content=f"# {HOSTILE}\n\n" + "long " * 500)
    arguments = [tenant.pk, HOSTILE, uuid7(), uuid7(), HOSTILE]
    call_function("knowledge_say", arguments, ["uuid", "text", "uuid", "uuid", "text"])
    ProviderRate.objects.create(provider_id="anthropic", family=HOSTILE, requests_per_minute=1)
    ModelPrice.objects.create(model=HOSTILE, **dict.fromkeys(PRICES, 1))
    CircuitTrip.objects.create(circuit=HOSTILE, reason=HOSTILE, open_until="2026-01-01T00:00:00Z")
    cached(tenant)
    endpoint_create(tenant=tenant, url=f"https://example.com/{HOSTILE}", description=HOSTILE)
    Recipient.objects.create(tenant=tenant, email="boss@acme.example", events=[HOSTILE])
    hour_profile(full_hour(timezone.now()))
    drift()
    told = {"code": HOSTILE, "severity": "critical", "title": HOSTILE, "message": HOSTILE, "audience": "both"}
    notify(**told, tenant_id=tenant.pk, data={HOSTILE: HOSTILE})
    TaskResult.objects.create(
        task_id="1", task_name="maintenance.purge", status="SUCCESS", result='{"keys": 3}'
    )


def drift() -> None:
    """A window in which something has shifted, and a reference."""
    now = timezone.now()
    period = {"starts_at": now, "ends_at": now + timedelta(hours=1)}
    DriftReference.objects.create(**period, note=HOSTILE)
    window = DriftWindow.objects.create(
        **period,
        reference_starts_at=now,
        reference_ends_at=now,
        reference_windows=1,
        runs=1,
        compared=1,
        shifted=1,
        computed_at=now,
    )
    DriftReading.objects.create(
        window=window,
        task_type=HOSTILE,
        measure="task_mix",
        moved=HOSTILE,
        reference_value=0.1,
        window_value=0.2,
        stability_index=0.3,
        p_value=0.0,
        reference_units=1,
        window_units=1,
        is_drift=True,
        cost_a_day_usd_micros=1,
    )


def cached(tenant: Tenant) -> None:
    """An answer that is kept, how far it is trusted, and a check of it."""
    entry = CacheEntry.objects.create(
        tenant=tenant,
        use_case=HOSTILE,
        scope_hash="s",
        key_hash="k",
        subject=HOSTILE,
        response={"text": HOSTILE},
        worth_usd_micros=70,
        source_workflow_id=uuid7(),
        source_call_id=uuid7(),
        expires_at="2026-01-01T00:00:00Z",
    )
    CacheScope.objects.create(
        tenant=tenant,
        use_case=HOSTILE,
        checked=20,
        wrong=9,
        switched_off_at="2026-01-01T00:00:00Z",
        switched_off_because=HOSTILE,
    )
    check_of(
        tenant,
        use_case=HOSTILE,
        entry_id=entry.pk,
        request={"asked": HOSTILE},
        served={"text": HOSTILE},
    )


@pytest.mark.parametrize("model", SHOWN, ids=lambda model: model.__name__)
def test_each_list_and_each_detail_page_is_shown(everything: None, administrator: Person, model: Any) -> None:
    """With data, escaped, for the administrator."""
    html = administrator.page(list_url(model))
    assert HOSTILE not in html
    obj = model.objects.first()
    assert HOSTILE not in administrator.page(change_url(obj))
    assert (
        administrator.get(
            reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_history", args=[obj.pk])
        ).status_code
        == 200
    )


@pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model.__name__)
def test_what_is_only_to_be_read_is_not_even_an_administrators_to_change(
    everything: None, administrator: Person, model: Any
) -> None:
    """No adding, no saving, no deleting."""
    obj = model.objects.first()
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert administrator.get(reverse(f"{name}_add")).status_code == 403
    assert administrator.post(change_url(obj), name="other").status_code == 403
    assert administrator.post(reverse(f"{name}_delete", args=[obj.pk]), post="yes").status_code == 403
    assert model.objects.filter(pk=obj.pk).exists()


def test_every_model_of_a_person_is_in_the_sidebar_and_on_the_home_page(administrator: Person) -> None:
    """The sidebar leads to every list of the admin but those that are reached from others."""
    html = administrator.page(reverse("admin:index"))
    for model in admin.site._registry:
        if model not in (Step,):
            assert f'href="{list_url(model)}"' in html, model
    for title in ("Tenants", "Work", "Models &amp; money", "System", "API docs"):
        assert title in html


def test_only_models_with_a_page_of_their_own_have_one() -> None:
    """A list that grows by itself: a model is either shown here, or known not to be."""
    internal = {
        "Chunk",
        "Turn",
        "Embedding",
        "Allowance",
        "BatchRequest",
        "BudgetOverride",
        "BudgetWindow",
        "CacheVector",
        "DefaultPermission",
        "DeliveryAttempt",
        "DriftReading",
        "Event",
        "HourlyAnswers",
        "HourlyCallProfile",
        "HourlySpend",
        "HourlyStepProfile",
        "IdempotencyKey",
        "Lane",
        "Leadership",
        "ProfiledHour",
        "ProviderRate",
        "QueuePace",
        "QueuePool",
        "Signal",
        "Slice",
        "StepAttempt",
        "TierProvider",
        "WindowSet",
        "WindowUsage",
    }
    ours = {
        model.__name__
        for config in apps.get_app_configs()
        if config.name.startswith("apps.")
        for model in config.get_models()
    }
    registered = {model.__name__ for model in admin.site._registry}
    assert ours - registered == internal


def test_lists_need_as_many_queries_for_many_rows_as_for_few(
    administrator: Person, submit: Callable[..., Workflow]
) -> None:
    """Workflows and tenants: no query per row, and none that counts all rows."""
    submit("one_noop")
    few = [_queries(administrator, model) for model in (Workflow, Tenant)]
    for number in range(30):
        submit("one_noop", tenant=tenant_create(name=f"tenant {number}", tier="free"))
    many = [_queries(administrator, model) for model in (Workflow, Tenant)]
    assert [len(queries) for queries in many] == [len(queries) for queries in few]
    counting = [sql for sql in many[0] if "COUNT(" in sql]
    assert counting
    assert all("LIMIT 10001" in sql for sql in counting)


def _queries(person: Person, model: Any) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        person.page(list_url(model))
    return [query["sql"] for query in captured.captured_queries]


def test_a_process_is_silent_after_twenty_seconds(administrator: Person) -> None:
    """Live and silent, by the database's clock."""
    heartbeat_write("here", kind="worker", queues=["standard"], slots=5, busy=2)
    html = administrator.page(list_url(Heartbeat))
    assert "live" in html
    assert "2 of 5" in html
    with connection.cursor() as cursor:
        cursor.execute("UPDATE workflows_heartbeat SET beat_at = now() - interval '21 seconds'")
    assert "silent" in administrator.page(list_url(Heartbeat))


def test_a_queue_shows_its_lanes(administrator: Person, submit: Callable[..., Workflow], hand: Hand) -> None:
    """Which tenants have a backlog, and how many steps they run."""
    submit("one_noop")
    submit("one_noop")
    hand.admit(1)
    html = administrator.page(change_url(QueueConfig.objects.get(pk="standard")))
    assert "acme" in html
    assert "backlog" in html
    assert "1 (of 50 in all)" in html
    assert "It is taken as soon as its turn comes." in html
    assert "100 shared" in html


def test_a_tenant_shows_what_it_runs_and_spends(
    administrator: Person, failed: Workflow, tenant: Tenant
) -> None:
    """From the ledger, today and this month."""
    for html in (administrator.page(list_url(Tenant)), administrator.page(change_url(tenant))):
        assert html.count("$1.25") == 2
        assert f"tenant__id__exact={tenant.pk}&amp;status=unfinished" in html


def test_nobody_gets_in_without_a_login(client: Any, failed: Workflow) -> None:
    """Every page leads to the login, and a tenant's user is no staff."""
    for model in SHOWN:
        response = client.get(list_url(model))
        assert response.status_code == 302
        assert response["Location"].startswith(reverse("admin:login"))
    assert client.post(reverse("admin:login"), {"username": "x", "password": "y"}).status_code == 200


def test_one_signs_in_with_a_password(somebody: Callable[..., Person], client: Any) -> None:
    """The login page takes a name and a password."""
    somebody("operator")
    response = client.post(
        reverse("admin:login"), {"username": "operator", "password": "secret", "next": "/admin/"}
    )
    assert response.status_code == 302
    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize("is_simulated", [True, False])
def test_the_simulator_is_named_on_every_page(
    administrator: Person, settings: Any, is_simulated: bool
) -> None:
    """An operator sees that no model answers."""
    settings.SIMULATOR = is_simulated
    assert ("simulator" in administrator.page(reverse("admin:index"))) is is_simulated


@pytest.mark.parametrize("url", ["", "http://flower.example/"])
def test_flower_is_linked_when_it_is_known(administrator: Person, settings: Any, url: str) -> None:
    """With an address there is a link."""
    settings.FLOWER_URL = url
    assert ("local_florist" in administrator.page(reverse("admin:index"))) is bool(url)


def test_feedback_is_found_by_rating_and_by_workflow(
    everything: None, reader: Person, failed: Workflow, tenant: Tenant
) -> None:
    """The filter, the search for a workflow's id, and the way from a workflow to what was said of it."""
    comment = HOSTILE_ESCAPED
    assert comment in reader.page(list_url(Feedback), rating__exact="down")
    assert comment not in reader.page(list_url(Feedback), rating__exact="up")
    assert comment in reader.page(list_url(Feedback), tenant__id__exact=str(tenant.pk))
    assert comment in reader.page(list_url(Feedback), q=str(failed.pk))
    assert comment not in reader.page(list_url(Feedback), q="0192f6f0-0000-7000-8000-000000000000")
    assert change_url(Feedback.objects.get()) in reader.page(change_url(failed))
