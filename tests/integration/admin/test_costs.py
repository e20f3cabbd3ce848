"""The front page of the admin, costs from the tenant down, and downloads."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.budgets.models import Budget
from apps.budgets.rollup import spend_rollup
from apps.context_cache import context_cache
from apps.database import call_function
from apps.gateway.models import CacheScope
from apps.insights.cache_panels import cache_figures
from apps.insights.costs import closed_days, costs, month_task_costs, movers
from apps.insights.dashboard import sources
from apps.insights.forecasting import forecasts_renew
from apps.notifications.services import notify
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from apps.workflows.dead_letters import dead_letters_file
from apps.workflows.models import DeadLetter, Workflow
from tests.integration.admin.conftest import HOSTILE, HOSTILE_ESCAPED, Person
from tests.integration.insights.conftest import DAY, HOUR, USD, entry, midnight, spent, this_hour
from tests.integration.stack.launching import free_ports

INDEX = reverse("admin:index")
COSTS = reverse("admin:insights_budgetforecast_costs")


def export_url(key: str) -> str:
    return reverse("admin:insights_budgetforecast_export", args=[key])


def rows_of(person: Person, url: str, **query: str) -> list[dict[str, str]]:
    """A download, line by line."""
    response = person.get(url, **query)
    assert response.status_code == 200, response.status_code
    assert response["Content-Type"].startswith("text/csv")
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def charts_of(html: str) -> list[dict[str, Any]]:
    return [
        json.loads(unescape(data)) for data in re.findall(r'class="chart"[^>]*data-value="([^"]*)"', html)
    ]


@pytest.fixture
def spending(tenant: Tenant, closed: None) -> Tenant:
    """Two tenants that spend, and a budget for all; returns the other one."""
    other = tenant_create(name="other", tier="enterprise")
    spent(tenant, 3.0, this_hour(), task_type="extract_data", tier="powerful", model="claude-opus-4-1")
    spent(tenant, 1.0, this_hour(), kind="batch", avoided_usd_micros=USD)
    spent(tenant, 0.0, this_hour(), kind="cache_hit", cache_layer="exact", avoided_usd_micros=250_000)
    spent(other, 12.0, this_hour(), avoided_usd_micros=2 * USD)
    spent(other, 5.0, this_hour() - DAY)
    spend_rollup()
    Budget.objects.create(
        name="all", scope="platform", monthly_usd_micros=1000 * USD, daily_usd_micros=64 * USD
    )
    call_function("budgets_windows", [tenant.pk, "standard", None, "x"], ["uuid", "text", "uuid", "text"])
    forecasts_renew()
    return other


@pytest.fixture
def forget() -> Iterator[Callable[[], None]]:
    """Has the figures of money read anew, also after the test."""

    def forget_all() -> None:
        for figures in (closed_days, costs, movers, month_task_costs, cache_figures):
            figures.forget()

    forget_all()
    yield forget_all
    forget_all()


def queries_of_the_front_page(person: Person) -> tuple[int, int]:
    """How many there are of spend, and how many in all."""
    with CaptureQueriesContext(connection) as captured:
        person.page(INDEX)
    return sum("budgets_hourlyspend" in query["sql"] for query in captured), len(captured)


@pytest.mark.usefixtures("spending", "failed")
def test_the_front_page_shows_what_is_spent_and_expected(administrator: Person) -> None:
    """Cards with budget and interval, charts with data, and every table."""
    html = administrator.page(INDEX)
    for text in ("Today", "This month", "Expected:", "$64.00", "Of the budget", "27.0 %", "acme", "other"):
        assert text in html, text
    for title in ("By tenant", "By task type", "By tier", "By agent", "By model", "Cost per task", "Savings"):
        assert title in html, title
    for title in ("Top movers", "Queues", "Circuits", "Dead letters by fingerprint", "Budgets", "Notices"):
        assert title in html, title
    today, month = charts_of(html)
    assert [line["label"] for line in today["datasets"]] == ["spent", "expected", "budget"]
    assert max(value for value in today["datasets"][0]["data"] if value is not None) >= 16.0
    assert sum(month["datasets"][0]["data"]) >= 16.0
    assert len(month["labels"]) in (28, 29, 30, 31)


@pytest.mark.usefixtures("spending")
def test_the_front_page_takes_few_queries(
    administrator: Person, settings: Any, forget: Callable[[], None]
) -> None:
    """No more when more is spent by more; and the figures of money are not added up again at once."""
    settings.DASHBOARD_SECONDS = 60.0
    assert queries_of_the_front_page(administrator)[0] == 6
    for number in range(10):
        owner = tenant_create(name=f"tenant {number}", tier="standard")
        spent(owner, 1.0, task_type=f"type_{number}", agent=f"agent_{number}", model=f"model_{number}")
        notify(code="x", severity="info", title="t", message="m", audience="both", tenant_id=owner.pk)
    assert queries_of_the_front_page(administrator)[0] == 0
    forget()
    of_spend, in_all = queries_of_the_front_page(administrator)
    assert of_spend == 6
    assert in_all < 30
    assert "tenant 9" in administrator.page(INDEX)


@pytest.mark.usefixtures("spending")
def test_the_front_page_shows_what_a_person_may_see(somebody: Callable[..., Person]) -> None:
    """Without the ledger no money; without anything a sentence."""
    person = somebody("read-only")
    group = person.user.groups.get()
    assert "By tenant" in person.page(INDEX)
    group.permissions.remove(Permission.objects.get(codename="view_ledgerentry"))
    html = person.page(INDEX)
    assert "By tenant" not in html
    assert 'class="chart"' not in html
    assert "Queues" in html
    group.permissions.clear()
    assert "You may see none of the figures here" in person.page(INDEX)


@pytest.mark.usefixtures("spending", "failed")
def test_every_table_is_downloaded(administrator: Person) -> None:
    """Each has the rows that it shows, and a name for each column."""
    dead_letters_file(list(DeadLetter.objects.values_list("pk", flat=True)))
    for key in sources():
        rows_of(administrator, export_url(key))
    (row,) = [one for one in rows_of(administrator, export_url("tenant")) if one["tenant"] == "other"]
    assert row["today (USD)"] == "12.000000"
    assert rows_of(administrator, export_url("dead_letters"))[0]["error"] == "made_to_fail"
    assert {one["period"] for one in rows_of(administrator, export_url("budgets"))} == {"day", "month"}


@pytest.mark.usefixtures("spending")
def test_a_download_is_for_who_may_see_the_table(somebody: Callable[..., Person]) -> None:
    """Others are refused; a table that there is not is not found; strangers sign in first."""
    person = somebody("read-only")
    person.user.groups.get().permissions.remove(Permission.objects.get(codename="view_ledgerentry"))
    assert person.get(export_url("tenant")).status_code == 403
    assert person.get(COSTS).status_code == 403
    assert person.get(export_url("queues")).status_code == 200
    assert person.get(export_url("secrets")).status_code == 404
    person.client.logout()
    assert person.get(export_url("queues")).status_code == 302


def test_the_cache_is_shown_by_layer_and_by_type(administrator: Person, tenant: Tenant, closed: None) -> None:
    """Today and over seven days, as shares of all answers; of one tenant on the page of its costs."""
    hit = {"kind": "cache_hit", "served_tokens": 300, "avoided_usd_micros": USD}
    spent(tenant, 0.0, this_hour(), cache_layer="exact", **hit)
    spent(tenant_create(name="other", tier="standard"), 1.0, this_hour())
    spent(tenant, 1.0, this_hour())
    spent(tenant, 1.0, this_hour(), kind="batch")
    spent(tenant, 0.0, this_hour() - 3 * DAY, cache_layer="semantic", task_type="summarize_document", **hit)
    spent(tenant, 0.0, this_hour() - 8 * DAY, cache_layer="semantic", **hit)
    every, exact, semantic, *_ = rows_of(administrator, export_url("cache"))
    assert (every["layer"], every["hits today"], every["share today"]) == ("all layers", "1", "0.25")
    assert (every["avoided today (USD)"], every["avoided, 7 days (USD)"]) == ("1.000000", "2.000000")
    assert (exact["layer"], exact["hits, 7 days"], exact["share, 7 days"]) == ("same words", "1", "0.2")
    assert (semantic["hits today"], semantic["hits, 7 days"]) == ("0", "1")
    assert [
        (row["task type"], row["answers"], row["hits"])
        for row in rows_of(administrator, export_url("cached_types"))
    ] == [("answer_question", "4", "1"), ("summarize_document", "1", "1")]
    of_tenant = rows_of(administrator, COSTS, tenant=str(tenant.pk), days="1", csv="cache")
    assert (of_tenant[0]["hits"], of_tenant[0]["share"]) == ("1", "0.333333")
    assert "From the cache" in administrator.page(COSTS, tenant=str(tenant.pk))


@pytest.mark.usefixtures("spending")
def test_scopes_that_switched_themselves_off_come_first(administrator: Person, tenant: Tenant) -> None:
    """With their error, its interval, and why."""
    CacheScope.objects.create(tenant=tenant, use_case="good.step", checked=100, wrong=0)
    off = {"switched_off_at": this_hour(), "switched_off_because": "too many were wrong"}
    CacheScope.objects.create(tenant=tenant, use_case="bad.step", checked=100, wrong=20, **off)
    bad, good = rows_of(administrator, export_url("cache_scopes"))
    assert (bad["use case"], bad["state"], bad["why off"]) == (
        "bad.step",
        "switched itself off",
        "too many were wrong",
    )
    assert (bad["error"], bad["at least"][:5], bad["at most"][:5]) == ("0.2", "0.126", "0.291")
    assert (good["state"], good["error"], good["at most"][:5]) == ("on", "0.0", "0.036")
    assert "switched itself off" in administrator.page(INDEX)


@pytest.mark.usefixtures("spending")
def test_the_context_cache_is_counted_by_kind(administrator: Person, tenant: Tenant, settings: Any) -> None:
    """As the processes count it in Redis; without Redis the page says so."""
    kind = f"kind_{tenant.pk.hex[:8]}"
    for _ in range(3):
        context_cache().get_or_make(kind, tenant.pk, ["x"], lambda: "made")
    (row,) = [one for one in rows_of(administrator, export_url("context_cache")) if one["kind"] == kind]
    assert (row["found"], row["made"], row["share found"]) == ("2", "1", "0.666667")
    (port,) = free_ports(1)
    settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
    assert "The cache server does not answer." in administrator.page(INDEX)


@pytest.mark.usefixtures("spending")
def test_savings_are_of_caches_batches_and_routing(administrator: Person) -> None:
    """Routing is measured beside the highest tier; what that tier did itself saves nothing."""
    saved = {one["saved by"]: one["today (USD)"] for one in rows_of(administrator, export_url("savings"))}
    assert saved["Prompt caches of providers"] == "2.000000"
    assert saved["Batches"] == "1.000000"
    assert saved["Answers from the cache"] == "0.250000"
    # Two calls of 200 and 100 tokens on the fast tier cost far more than they would have: 16 dollars of a test.
    assert float(saved["Routing below the highest tier"]) == pytest.approx(-16.0, abs=0.1)


def test_movers_are_what_changed_since_yesterday(administrator: Person, tenant: Tenant, closed: None) -> None:
    """By tenant and task type, the largest change first, up and down."""
    for task_type, before, after in (
        ("grown", 1.0, 50.0),
        ("shrunk", 9.0, 1.0),
        ("new", 0.0, 3.0),
        ("same", 2.0, 2.0),
    ):
        spent(tenant, before, this_hour() - 30 * HOUR, task_type=task_type)
        spent(tenant, after, this_hour() - 2 * HOUR, task_type=task_type)
    rows = rows_of(administrator, export_url("movers"))
    assert [(row["task type"], row["change (USD)"]) for row in rows] == [
        ("grown", "49.000000"),
        ("shrunk", "-8.000000"),
        ("new", "3.000000"),
    ]


def test_a_task_costs_what_its_finished_runs_did(
    administrator: Person, submit: Callable[..., Workflow], closed: None
) -> None:
    """Mean, dearest and all; those under way do not count yet."""
    finished = [submit("one_noop"), submit("one_noop")]
    submit("one_noop")
    for workflow, cost in zip(finished, (USD, 3 * USD), strict=True):
        Workflow.objects.filter(pk=workflow.pk).update(
            status="succeeded", finished_at=workflow.created_at, cost_usd_micros=cost
        )
    (row,) = rows_of(administrator, export_url("task_costs"))
    assert (row["task type"], row["finished"], row["mean (USD)"], row["all (USD)"]) == (
        "one_noop",
        "2",
        "2.000000",
        "4.000000",
    )


def test_costs_lead_from_the_tenant_to_the_call(
    administrator: Person, tenant: Tenant, spending: Tenant
) -> None:
    """Tenant → task type → workflows and ledger entries, each page with the filters of the one before."""
    assert f"{COSTS}?tenant={tenant.pk}" in administrator.page(INDEX)
    html = administrator.page(COSTS, tenant=str(tenant.pk))
    assert "Costs: acme" in html
    assert "$4.00 since" in html
    onward = f"tenant={tenant.pk}&amp;task_type=extract_data"
    assert onward in html
    html = administrator.page(COSTS, tenant=str(tenant.pk), task_type="extract_data", days="1")
    assert "$3.00 since" in html
    ways = [unescape(way) for way in re.findall(r'href="(/admin/[^"]*__exact[^"]*)"', html)]
    assert len(ways) == 2
    for way in ways:
        assert str(tenant.pk) in way
        assert administrator.get(way).status_code == 200
    entries = administrator.page(ways[1])
    assert "extract_data" in entries
    assert "$12.00" not in entries


def test_costs_are_downloaded_as_they_are_filtered(
    administrator: Person, tenant: Tenant, spending: Tenant
) -> None:
    """The table of the page; one that there is not is not found, nor is a tenant that there is not."""
    rows = rows_of(administrator, COSTS, tenant=str(spending.pk), csv="day", days="1")
    assert [(row["day"], row["cost (USD)"]) for row in rows] == [(f"{midnight():%Y-%m-%d}", "12.000000")]
    assert administrator.get(COSTS, csv="nothing").status_code == 404
    assert administrator.get(COSTS, tenant="nobody").status_code == 404
    assert (
        administrator.get(
            COSTS, tenant=str(Budget.objects.create(name="b", scope="tenant", tenant=tenant).pk)
        ).status_code
        == 404
    )
    assert administrator.get(COSTS, days="nonsense", task_type="\x00").status_code == 200


@pytest.mark.usefixtures("spending")
def test_projections_are_listed(administrator: Person) -> None:
    """The platform's and the budget's, in money and tokens."""
    html = administrator.page(reverse("admin:insights_budgetforecast_changelist"))
    assert html.count("the whole platform") == 2
    assert "$1,000.00" in html


def test_nothing_that_was_named_runs_on_the_page(administrator: Person, tenant: Tenant, closed: None) -> None:
    """Names come back escaped in tables, charts and downloads."""
    Tenant.objects.filter(pk=tenant.pk).update(name=HOSTILE)
    entry(tenant, 1.0, agent=HOSTILE, model=HOSTILE, task_type="=1+1").save(force_insert=True)
    for html in (
        administrator.page(INDEX),
        administrator.page(COSTS),
        administrator.page(COSTS, tenant=str(tenant.pk)),
    ):
        assert HOSTILE not in html
        assert HOSTILE_ESCAPED in html
    assert rows_of(administrator, export_url("task_type"))[0]["task type"] == "'=1+1"
