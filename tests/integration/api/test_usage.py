"""A tenant's own usage over REST."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db.models.functions import Now

from apps.budgets.models import LedgerEntry
from apps.budgets.rollup import spend_rollup
from apps.tenants.models import ApiKey, Tenant
from apps.tenants.services import api_key_issue, tenant_create
from apps.workflows.models import Workflow
from tests.integration.api.conftest import Api, assert_problem
from tests.integration.insights.conftest import DAY, HOUR, USD, entry, midnight, spent, this_hour

USAGE = "/api/v1/usage/"


def usage(api: Api, query: str = "") -> dict[str, Any]:
    response = api.get(f"{USAGE}{query}")
    assert response.status_code == 200, response.content
    return dict(response.json())


def test_usage_is_the_tenants_own_by_day(api: Api, tenant: Tenant) -> None:
    """Of the last 30 days, with totals; what another tenant has used is in neither."""
    other = tenant_create(name="rival", tier="standard")
    spent(other, 99.0)
    spent(tenant, 1.0, midnight() - 2 * DAY)
    spent(tenant, 2.0, midnight() - DAY + timedelta(minutes=30), avoided_usd_micros=5)
    spent(tenant, 4.0)
    spent(tenant, 50.0, midnight() - 31 * DAY)
    spend_rollup()
    spent(tenant, 8.0)
    document = usage(api)
    assert [(row["day"], row["cost_usd_micros"]) for row in document["rows"]] == [
        (str((midnight() - 2 * DAY).date()), USD),
        (str((midnight() - DAY).date()), 2 * USD),
        (str(midnight().date()), 12 * USD),
    ]
    assert document["group_by"] == ["day"]
    assert document["totals"] == {
        "calls": 4,
        "input_tokens": 800,
        "output_tokens": 400,
        "cache_read_tokens": 0,
        "served_tokens": 0,
        "cost_usd_micros": 15 * USD,
        "avoided_usd_micros": 5,
        "unknown_usd_micros": 0,
    }


@pytest.mark.parametrize(
    ("dimension", "column"),
    [
        ("task_type", "task_type"),
        ("model", "model"),
        ("tier", "tier"),
        ("agent", "agent"),
        ("provider", "provider"),
    ],
)
def test_usage_is_grouped_as_asked(api: Api, tenant: Tenant, dimension: str, column: str) -> None:
    """By any one dimension; the totals stay the same."""
    spent(tenant, 1.0, **{column: "one"})
    spent(tenant, 2.0, **{column: "two"})
    spent(tenant, 3.0, **{column: "two"})
    document = usage(api, f"?group_by={dimension}")
    assert [(row[dimension], row["calls"]) for row in document["rows"]] == [("one", 1), ("two", 2)]
    assert document["totals"]["cost_usd_micros"] == 6 * USD


def test_usage_is_grouped_by_key_and_hour(api: Api, tenant: Tenant) -> None:
    """Several dimensions in their order; a key has its name, and what was submitted without one has none."""
    key = ApiKey.objects.get(tenant=tenant)
    spent(tenant, 1.0, this_hour(), api_key_id=key.pk)
    spent(tenant, 2.0, this_hour())
    rows = usage(api, "?group_by=hour,api_key")["rows"]
    hour = this_hour().isoformat().replace("+00:00", "Z")
    assert [(row["hour"], row["api_key"], row["api_key_name"]) for row in rows] == [
        (hour, str(key.pk), "first"),
        (hour, None, ""),
    ]


def test_usage_of_a_period_has_its_first_hour_and_not_its_last(api: Api, tenant: Tenant) -> None:
    """`to` is not included; an offset is converted to UTC."""
    for hours in range(4):
        spent(tenant, 1.0, midnight() - DAY + hours * HOUR)
    day = (midnight() - DAY).date()
    assert usage(api, f"?from={day}T01:00:00Z&to={day}T03:00:00Z")["totals"]["calls"] == 2
    assert usage(api, f"?from={quote(f'{day}T03:00:00+02:00')}&to={day}T02:00:00Z")["totals"]["calls"] == 1
    assert usage(api, f"?from={day}&to={midnight().date()}")["totals"]["calls"] == 4
    nothing = usage(api, "?from=2020-01-01&to=2020-02-01")
    assert (nothing["rows"], nothing["totals"]["calls"]) == ([], 0)


@pytest.mark.parametrize(("query", "accept"), [("?format=csv", "*/*"), ("?group_by=day", "text/csv")])
def test_usage_is_also_csv(api: Api, tenant: Tenant, query: str, accept: str) -> None:
    """By `format` or by `Accept`: a line for each row, the names first."""
    spent(tenant, 1.5)
    response = api.get(f"{USAGE}{query}", Accept=accept)
    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    (row,) = csv.DictReader(io.StringIO(response.content.decode()))
    assert (row["day"], row["calls"], row["cost_usd_micros"]) == (str(midnight().date()), "1", "1500000")


def test_csv_holds_no_formula(api: Api, tenant: Tenant) -> None:
    """What a spreadsheet would calculate is made text."""
    spent(tenant, 1.0, agent="=HYPERLINK(1)")
    response = api.get(f"{USAGE}?group_by=agent&format=csv")
    assert "\r\n'=HYPERLINK(1),1," in response.content.decode()


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "from=2026-02-31",
        "from=2026-11-01T10:30:00Z",
        "from=2026-11-01T10:00:00",
        "from=0001-01-01T00:00:00%2B14:00",
        "from=2026-11-02&to=2026-11-01",
        "from=2026-11-01&to=2026-11-01",
        "from=2020-01-01&to=2026-01-01",
        "to=%00",
        "group_by=tenant",
        "group_by=day,",
        "group_by=day,day",
        "group_by=day,hour,tier,model",
        "group_by=cost_usd_micros",
        "format=xml",
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_a_question_that_cannot_be_answered_is_refused(api: Api, query: str, accept: str) -> None:
    """With a problem document that names the parameter, also for those who asked for CSV."""
    problem = assert_problem(api.get(f"{USAGE}?{query}", Accept=accept), 400, "invalid-parameter")
    assert problem["errors"][0]["pointer"][1:] in query


def test_today_and_the_month_are_projected(api: Api, tenant: Tenant, other_api: Api) -> None:
    """From the tenant's own hours: a dollar each of ten days; another tenant without any is promised nothing."""
    start = this_hour() - 10 * DAY
    LedgerEntry.objects.bulk_create(entry(tenant, 1.0, start + hours * HOUR) for hours in range(240))
    day, month = api.get(f"{USAGE}projection/").json()
    assert (day["period"], month["period"]) == ("day", "month")
    assert day["expected_usd_micros"] == pytest.approx(24 * USD, rel=0.06)
    for one in (day, month):
        assert one["spent_usd_micros"] <= one["low_usd_micros"] <= one["expected_usd_micros"]
        assert one["expected_usd_micros"] <= one["high_usd_micros"]
        assert 9 < one["days_of_history"] <= 10
    assert [one["high_usd_micros"] for one in other_api.get(f"{USAGE}projection/").json()] == [0, 0]


def test_a_task_costs_what_its_finished_runs_did(api: Api, other_api: Api) -> None:
    """By type, the tenant's own, since when was asked for."""
    ids = [api.submit(), api.submit(), api.submit()]
    other_api.submit()
    for pk, cost in zip(ids[:2], (USD, 3 * USD), strict=True):
        Workflow.objects.filter(pk=pk).update(status="succeeded", finished_at=Now(), cost_usd_micros=cost)
    assert api.get(f"{USAGE}tasks/").json() == [
        {
            "type": "one_noop",
            "finished": 2,
            "mean_usd_micros": 2 * USD,
            "max_usd_micros": 3 * USD,
            "total_usd_micros": 4 * USD,
        }
    ]
    assert other_api.get(f"{USAGE}tasks/").json() == []
    assert_problem(api.get(f"{USAGE}tasks/?from=nonsense"), 400, "invalid-parameter")


@pytest.mark.parametrize("path", [USAGE, f"{USAGE}projection/", f"{USAGE}tasks/"])
def test_usage_is_for_tenants_keys(anonymous: Api, path: str) -> None:
    """Without a key there is nothing to be seen, and an operator's belongs to no tenant."""
    assert_problem(anonymous.get(path), 401)
    operator = Api(api_key_issue(name="operator", tenant=None).plaintext)
    assert_problem(operator.get(path), 403, "tenant-key-needed")
