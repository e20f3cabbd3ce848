"""Plans of capacity: from runs that were measured, at a terminal, over REST and in the admin."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.urls import reverse
from django.utils import timezone

from agentplatform.capacity import sizing
from agentplatform.capacity.question import Question
from apps.budgets.models import Budget, Scope
from apps.gateway.models import ProviderRate
from apps.insights.capacity import MOST_WAITING, answer, capacity_plan_ask, capacity_plans_make
from apps.insights.capacity_selectors import complexities_between, platform_now, workload_from
from apps.insights.models import CapacityPlan
from apps.insights.profiling import profile_measure, profiles_renew
from apps.tenants.services import api_key_issue
from apps.workflows.models import Workflow
from tests.integration.admin.conftest import person_make
from tests.integration.api.conftest import Api
from tests.integration.insights.test_profiles import _simulator, last_minutes, simulator, tenant, worker

PLANS = "/api/v1/operations/capacity/"
ADD = reverse("admin:insights_capacityplan_add")

__all__ = ["_simulator", "simulator", "tenant", "worker"]


@pytest.fixture(autouse=True)
def _short_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of as many steps as show that all of it works."""
    monkeypatch.setattr(sizing, "STEPS", 300)


@pytest.fixture
def measured(submit: Callable[..., Workflow], worker: Any) -> list[Workflow]:
    """Runs with calls and a fan-out have ended, and the hour was measured."""
    runs = [worker.run_all(submit("one_ask", {"calls": 2})) for _ in range(3)]
    runs.append(worker.run_all(submit("fan_out", {"count": 4})))
    profiles_renew()
    return runs


@pytest.fixture
def operator(transactional_db: None) -> Api:
    """The API with an operator's key."""
    return Api(api_key_issue(name="operator").plaintext)


def test_the_workload_is_what_was_measured(measured: list[Workflow]) -> None:
    """Arrivals, steps a run, calls and costs to the micro-dollar; and the limits are those that are set."""
    ProviderRate.objects.create(provider_id="anthropic", family="claude", requests_per_minute=50)
    platform = platform_now()
    since, until = last_minutes()
    workload = workload_from(profile_measure(since, until), since, until, platform)
    by_type = {task.task_type: task for task in workload.tasks}
    asked, wide = by_type["one_ask"], by_type["fan_out"]
    assert asked.arrivals_a_second * workload.measured_seconds == pytest.approx(3)
    (step,) = asked.steps
    (called,) = step.calls
    assert (called.rate_key, called.calls) == ("anthropic/claude", 2.0)
    cost = sum(run.cost_usd_micros for run in Workflow.objects.all())
    assert sum(
        task.arrivals_a_second * task.cost_usd_micros_a_run for task in workload.tasks
    ) * workload.measured_seconds == pytest.approx(cost)
    assert {one.node: (one.needs, one.steps_a_run) for one in wide.steps} == {
        "list": ((), 1.0),
        "double": (("list",), pytest.approx(4.0)),
        "add": (("double",), 1.0),
    }
    assert workload.tenant_shares == {"standard": (1.0,)}
    assert platform.rates["anthropic/claude"].requests == 50
    assert platform.slots_of("standard", "shared") == 100
    assert workload.dispatch_seconds.mean > 0


def test_a_plan_names_the_limit_that_binds_first(measured: list[Workflow], tenant: Any) -> None:
    """What is set lowest beside what is used: a budget, or a provider's rate; and it costs what is measured times growth."""
    budget = Budget.objects.create(name="small", scope=Scope.PLATFORM, monthly_usd_micros=1)
    told = answer(Question((1.0, 3.0), ()))
    one, three = told["scenarios"]
    assert one["first_limit"] == "budget: small (month)"
    assert three["cost_usd_micros"] == pytest.approx(3 * one["cost_usd_micros"], rel=0.01)
    assert three["cost_within_budgets_usd_micros"] <= 1
    assert one["method"] == "simulation"
    (line,) = one["queues"]
    assert (line["queue"], line["pool"], line["slots"]) == ("standard", "shared", 100)
    assert line["needed_slots"] >= 1
    assert told["notes"]
    budget.delete()
    ProviderRate.objects.create(provider_id="anthropic", family="claude-haiku", requests_per_minute=1)
    (huge,) = answer(Question((1e6,), ()))["scenarios"]
    rate = next(limit for limit in huge["limits"] if limit["kind"] == "provider rate")
    assert rate["utilisation"] > 1
    assert rate["binds_at_growth"] == pytest.approx(1e6 / rate["utilisation"])


def test_users_are_tenants_unless_it_is_said_what_one_does(measured: list[Workflow]) -> None:
    """One tenant was active: a hundred users are a hundred times as much."""
    (told,) = answer(Question((), (100.0,)))["scenarios"]
    assert (told["growth"], told["users"]) == (pytest.approx(100), pytest.approx(100))
    runs_a_day = told["runs_a_day"] / 100
    (quiet,) = answer(Question((), (100.0,), runs_a_user=runs_a_day / 50))["scenarios"]
    assert (quiet["growth"], quiet["users"]) == (pytest.approx(2), pytest.approx(100))


@pytest.mark.usefixtures("measured")
def test_the_command_prints_tables_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With growths, numbers of users and changes."""
    call_command("plan_capacity", "--growth", "3", "--users", "10", "--cache-share", "0.5")
    printed = capsys.readouterr().out
    assert "3×" in printed
    assert "How good these numbers are" in printed
    call_command("plan_capacity", "--growth", "1", "--mix", "one_ask=1", "--json")
    told = json.loads(capsys.readouterr().out)
    assert [one["growth"] for one in told["scenarios"]] == [1.0]
    with pytest.raises(CommandError, match="Nothing was measured of another"):
        call_command("plan_capacity", "--growth", "3", "--mix", "another=0.5")


def test_without_any_profile_nothing_is_said(transactional_db: None) -> None:
    with pytest.raises(CommandError, match="No run was measured in the last 2 days"):
        call_command("plan_capacity", "--growth", "3", "--days", "2")


@pytest.mark.usefixtures("measured")
def test_thresholds_become_shares_of_tiers() -> None:
    """By the complexities that calls had; pinned ones stay where they are."""
    scored, pinned = complexities_between(timezone.now() - timedelta(hours=1), timezone.now())
    assert (scored, pinned) == ({}, {"fast": 6})
    told = answer(Question((1.0,), (), max_complexity={"fast": 0.1}))
    assert told["tier_shares"] == {"fast": 1.0}


@pytest.mark.usefixtures("measured")
def test_an_operator_asks_and_reads_a_plan(operator: Api) -> None:
    """Asked for over REST, worked out once by the maintenance task, read with its result."""
    response = operator.post(PLANS, {"growths": [2], "cache_share": 0.2})
    assert response.status_code == 202
    location = response.headers["Location"]
    assert operator.get(location).json()["status"] == "asked"
    assert capacity_plans_make() == 1
    assert capacity_plans_make() == 0
    told = operator.get(location).json()
    assert (told["status"], told["result"]["scenarios"][0]["growth"]) == ("ready", 2.0)
    (listed,) = operator.get(PLANS).json()["results"]
    assert listed["id"] == told["id"]
    assert "result" not in listed


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"growths": [0]}, "/growths"),
        ({"users": [1e12]}, "/users"),
        ({"growths": [1] * 9}, "/growths"),
        ({"days": 400}, "/days"),
        ({"cache_share": 2}, "/cache_share"),
        ({"mix": {"one_ask": 0.7, "other": 0.6}}, "/mix"),
        ({"tier_shares": {"huge": 1}}, "/tier_shares"),
        ({"target_seconds": {"standard": 0}}, "/target_seconds"),
        ({"growth": [1]}, "/growth"),
    ],
)
def test_what_is_asked_for_has_to_make_sense(operator: Api, body: dict[str, Any], pointer: str) -> None:
    """Or it is refused with the field named, and nothing is stored."""
    response = operator.post(PLANS, body)
    assert response.status_code in (400, 422), response.content
    assert response.json()["errors"][0]["pointer"].startswith(pointer)
    assert not CapacityPlan.objects.exists()


def test_plans_are_the_operators_alone(tenant: Any) -> None:
    """And no more of them wait than a worker gets through."""
    key = api_key_issue(name="a tenant's", tenant=tenant).plaintext
    assert Api(key).post(PLANS, {}).status_code == 403
    assert Api(None).get(PLANS).status_code == 401
    for _ in range(MOST_WAITING):
        capacity_plan_ask(Question())
    refused = Api(api_key_issue(name="operator").plaintext).post(PLANS, {})
    assert refused.status_code == 429
    assert CapacityPlan.objects.count() == MOST_WAITING


def test_a_plan_that_cannot_be_made_says_why_and_a_lost_one_is_begun_once_more(
    transactional_db: None,
) -> None:
    """After a second loss it has failed."""
    failed = capacity_plan_ask(Question((1.0,), ()))
    capacity_plans_make()
    failed.refresh_from_db()
    assert (failed.status, failed.error) == (
        "failed",
        "No run was measured in the last 7 days: nothing can be said.",
    )
    lost, lost_twice = (capacity_plan_ask(Question((1.0,), ())) for _ in range(2))
    long_ago = timezone.now() - timedelta(minutes=11)
    for plan, attempts in ((lost, 1), (lost_twice, 2)):
        CapacityPlan.objects.filter(pk=plan.pk).update(
            status="running", started_at=long_ago, attempts=attempts
        )
    assert capacity_plans_make() == 1
    lost.refresh_from_db()
    lost_twice.refresh_from_db()
    assert lost.attempts == 2
    assert lost_twice.error == "Its worker was lost, twice."


@pytest.mark.usefixtures("measured")
def test_a_person_asks_on_a_form_and_reads_tables() -> None:
    """What makes no sense is said beside its field; each table can be downloaded."""
    person = person_make("operator")
    assert "thresholds of tiers" in person.page(ADD)
    refused = person.post(ADD, growths="fast", users="", days="7")
    assert "is to be numbers" in refused.content.decode()
    assert not CapacityPlan.objects.exists()
    asked = person.post(ADD, growths="1 3", users="", days="7", mix="one_ask=0.5")
    plan = CapacityPlan.objects.get()
    assert asked.headers["Location"] == reverse("admin:insights_capacityplan_change", args=[plan.pk])
    assert plan.asked_by == person.user
    capacity_plans_make()
    page = person.page(asked.headers["Location"])
    assert "How good these numbers are" in page
    assert "Used up at growth" in page
    export = reverse("admin:insights_capacityplan_export", args=[plan.pk, "limits"])
    rows = list(csv.DictReader(io.StringIO(b"".join(person.get(export).streaming_content).decode())))
    assert {"workers", "database"} <= {row["limit"] for row in rows}
    assert "1×, 3×" in person.page(reverse("admin:insights_capacityplan_changelist"))
    reader = person_make("read-only")
    assert reader.get(ADD).status_code == 403
    assert "How good" in reader.page(asked.headers["Location"])
