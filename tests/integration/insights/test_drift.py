"""A shift in a load of real runs is told within one window, and no shift is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from agentplatform.simulator.settings import SimulatorSettings
from apps.insights.drifting import drift_watch, reference_of, windows_due
from apps.insights.models import DriftReference, ProfiledHour
from apps.insights.profiling import hour_profile
from apps.notifications.models import Notice
from apps.tenants.models import Tenant
from apps.tenants.services import api_key_issue, tenant_create
from apps.workflows.models import Workflow
from tests.integration.admin.conftest import person_make
from tests.integration.admin.test_costs import charts_of
from tests.integration.api.conftest import Api
from tests.integration.conftest import Hand
from tests.integration.gateway.test_running_steps import Worker
from tests.integration.insights.conftest import HOUR, this_hour
from tests.shifting_load import Load
from tests.unit.conftest import RunningSimulator, serve

DRIFT = "/api/v1/operations/drift/"
RUNS = 90

# As if all had happened earlier: the ids, which carry the time, move with the rows.
_EARLIER = """
    SET LOCAL session_replication_role = replica;
    CREATE FUNCTION pg_temp.earlier(id uuid) RETURNS uuid LANGUAGE sql AS $$
        SELECT (lpad(to_hex(('x' || substr(h, 1, 12))::bit(48)::bigint - {milliseconds}), 12, '0') || substr(h, 13))::uuid
        FROM (SELECT replace(id::text, '-', '') AS h) AS digits $$;
    UPDATE workflows_step SET workflow_id = pg_temp.earlier(workflow_id), ready_at = ready_at - {by},
        started_at = started_at - {by}, finished_at = finished_at - {by} WHERE finished_at >= {since};
    UPDATE gateway_call SET workflow_id = pg_temp.earlier(workflow_id), started_at = started_at - {by},
        settled_at = settled_at - {by} WHERE started_at >= {since};
    UPDATE budgets_ledgerentry SET workflow_id = pg_temp.earlier(workflow_id), created_at = created_at - {by}
        WHERE created_at >= {since};
    UPDATE workflows_workflow SET id = pg_temp.earlier(id), created_at = created_at - {by},
        finished_at = finished_at - {by} WHERE created_at >= {since};
"""


@pytest.fixture(scope="module")
def _simulator() -> Iterator[RunningSimulator]:
    yield from serve(SimulatorSettings(latency_scale=0))


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A standard tenant whose rows other threads see."""
    return tenant_create(name="acme", tier="standard")


class Hours:
    """Runs a load and lets it have happened in an hour of today."""

    def __init__(self, worker: Worker, submit: Callable[..., Workflow]) -> None:
        self.worker, self.submit = worker, submit

    def run(self, load: Load, seed: int, hours_ago: int) -> datetime:
        """Returns the start of the hour, which is measured."""
        since = timezone.now()
        for type_, workflow_input in load.runs(seed, RUNS):
            self.submit(type_, workflow_input)
        with ThreadPoolExecutor(8) as threads:
            while hints := self.worker.hand.admit():
                list(threads.map(self.worker._run, hints))
        assert not Workflow.objects.filter(finished_at=None).exists()
        hour = this_hour() - hours_ago * HOUR
        seconds = (since - hour - timedelta(minutes=20)).total_seconds()
        self._move(since, seconds)
        hour_profile(hour)
        return hour

    def _move(self, since: datetime, seconds: float) -> None:
        told = {
            "milliseconds": round(seconds * 1000),
            "by": f"interval '{round(seconds * 1000)} milliseconds'",
            "since": f"'{since.isoformat()}'",
        }
        with connection.cursor() as cursor:
            cursor.execute("BEGIN;" + _EARLIER.format(**told) + "DROP FUNCTION pg_temp.earlier; COMMIT")


@pytest.fixture
def hours(_simulator: RunningSimulator, hand: Hand, submit: Callable[..., Workflow]) -> Hours:
    """With four hours before the last one already there, of a load that did not shift."""
    _simulator.reset()
    made = Hours(Worker(_simulator, hand), submit)
    for number in range(4):
        made.run(Load(), number, 7 - number)
    ProfiledHour.objects.update(computed_at=timezone.now())
    return made


def told() -> list[dict[str, Any]]:
    """All that notices have told of, but how long steps took: that is the machine's, which others use too."""
    notices = Notice.objects.filter(code="drift.detected").order_by("created_at")
    return [
        {**one, "window": notice.data["window_starts_at"]}
        for notice in notices
        for one in notice.data["shifts"]
        if one["measure"] != "execution_seconds"
    ]


def test_a_shift_of_a_real_load_is_told_within_one_window(hours: Hours) -> None:
    """With what it costs, and once; hours without one tell nothing."""
    assert drift_watch() == 4
    assert told() == []
    shift = Load({"one_question": 0.9, "one_noop": 0.05, "one_ask": 0.05}, words=80)
    hour = hours.run(shift, 100, 3)
    assert drift_watch() == 1
    found = {(one["task_type"], one["measure"]): one for one in told()}
    assert {("", "task_mix"), ("one_question", "input_tokens")} <= set(found)
    assert {one["window"] for one in found.values()} == {hour.isoformat()}
    assert found["one_question", "input_tokens"]["cost_a_day_usd_micros"] > 0
    assert found["", "task_mix"]["cost_a_day_usd_micros"] > 0
    notice = Notice.objects.filter(message__contains="one_question: input tokens of a call").get()
    assert notice.audience == "operators"
    assert drift_watch() == 0
    hours.run(shift, 101, 2)
    assert drift_watch() == 1
    assert [one for one in told() if one["measure"] == "task_mix"] == [found["", "task_mix"]]

    operator = Api(api_key_issue(name="operator").plaintext)
    windows = operator.get(DRIFT).json()["windows"]
    assert [bool(one["shifted"]) for one in windows][:2] == [True, True]
    assert all(reading["is_drift"] for one in windows for reading in one["readings"])
    every = operator.get(
        f"{DRIFT}?all=true&type=one_question&measure=output_tokens&from={hour:%Y-%m-%d}"
    ).json()
    assert {reading["measure"] for one in every["windows"] for reading in one["readings"]} == {
        "output_tokens"
    }
    page = person_make("operator").page("/admin/insights/driftwindow/drift/", task_type="one_question")
    assert "input tokens of a call" in page
    assert charts_of(page)[0]["datasets"][0]["label"] == "shifted"


def test_a_window_is_compared_when_all_of_it_was_measured(transactional_db: None, settings: Any) -> None:
    """And longer ones begin where the clock says."""
    now = this_hour() + timedelta(minutes=30)
    for number in range(1, 9):
        hour = this_hour() - number * HOUR
        ProfiledHour.objects.create(hour=hour, computed_at=hour + 2 * HOUR, took_seconds=0)
    early = this_hour() - HOUR
    ProfiledHour.objects.filter(hour=early).update(computed_at=early + timedelta(minutes=59))
    assert windows_due(now) == [this_hour() - number * HOUR for number in range(8, 1, -1)]
    settings.DRIFT_WINDOW_HOURS = 4
    due = windows_due(now)
    assert 1 <= len(due) <= 2
    assert all(start.hour % 4 == 0 for start in due)


def test_operators_name_a_reference(transactional_db: None) -> None:
    """The latest one that is in force is used; without one it is the week before."""
    week_ago = this_hour() - timedelta(days=7)
    assert reference_of(this_hour()) == (week_ago, this_hour())
    old = this_hour() - timedelta(days=30)
    person_make("operator").post(
        "/admin/insights/driftreference/add/",
        starts_at_0=f"{old:%Y-%m-%d}",
        starts_at_1="00:00",
        ends_at_0=f"{old + timedelta(days=2):%Y-%m-%d}",
        ends_at_1="00:00",
        note="before the new prompt",
        is_active="on",
    )
    named = DriftReference.objects.get()
    assert named.created_by is not None
    assert reference_of(this_hour()) == (named.starts_at, named.ends_at)
    DriftReference.objects.update(is_active=False)
    assert reference_of(this_hour()) == (week_ago, this_hour())


@pytest.mark.parametrize("query", ["measure=mood", "all=maybe", "all=true&from=2026-01-01&to=2026-01-20"])
def test_what_is_asked_for_has_to_make_sense(transactional_db: None, query: str) -> None:
    """Or it is refused."""
    operator = Api(api_key_issue(name="operator").plaintext)
    assert operator.get(f"{DRIFT}?{query}").status_code == 400


def test_drift_is_the_operators_alone(tenant: Tenant) -> None:
    """It is of all tenants' runs."""
    assert Api(api_key_issue(name="a tenant's", tenant=tenant).plaintext).get(DRIFT).status_code == 403
