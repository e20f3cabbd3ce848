"""Schedules, tools, signals, replays and sessions: whatever is sent, nothing is a 500, and what is kept can be read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.tenants.services import api_key_issue
from apps.tools.models import McpServer, TenantTool
from apps.workflows.models import Schedule
from tests.integration.api.conftest import WORKFLOWS, Api
from tests.integration.api.test_hostile_requests import check, escaped, mutated, texts, values

SCHEDULES = "/api/v1/schedules/"
FUZZED = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

moments = st.sampled_from(
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "2026-01-01",
        "2300-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
    ]
)
crons = st.sampled_from(
    [
        "* * * * *",
        "0 0 29 2 *",
        "0 0 30 2 *",
        "*/0 * * * *",
        "*/99999999999 * * * *",
        "0-0-0 * * * *",
        "0 0 1-400000 * *",
        "\u0663 * * * *",
        "\x00 * * * *",
        f"0 {','.join(['1'] * 80)} * * *",
    ]
)
times = st.fixed_dictionaries({}, optional={"starts_at": moments, "ends_at": moments, "cron": crons})
SCHEDULE: dict[str, Any] = {
    "name": "n",
    "type": "one_noop",
    "input": {},
    "priority": "batch",
    "deadline_seconds": 60,
    "max_cost_usd": 0.5,
    "metadata": {"a": 1},
    "every_seconds": 3600,
    "time_zone": "UTC",
    "overlap": "skip",
    "is_enabled": True,
}
OWNED = {
    "webhooks": {
        "name": "t",
        "url": "http://127.0.0.1:9/",
        "description": "d",
        "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}},
        "timeout_seconds": 1.5,
        "is_idempotent": True,
        "is_cacheable": True,
        "is_enabled": True,
    },
    "mcp-servers": {
        "name": "t",
        "url": "http://127.0.0.1:9/",
        "token": "abc",
        "allowed_tools": ["x"],
        "timeout_seconds": 1.5,
        "is_enabled": True,
    },
}


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.0/8"]


@FUZZED
@given(
    body=st.builds(lambda body, when: {**body, **when}, mutated(SCHEDULE), times) | values,
    changes=st.booleans(),
)
def test_any_schedule_is_taken_or_refused(api: Api, body: Any, changes: bool) -> None:
    """Made or changed; those that there are can be read, and beat can go by them."""
    Schedule.objects.all().delete()
    if changes:
        made = api.post(SCHEDULES, {"name": "n", "type": "one_noop", "input": {}, "cron": "* * * * *"})
        check(api.patch(f"{SCHEDULES}{made.json()['id']}/", body))
    else:
        check(api.post(SCHEDULES, body))
    assert api.get(SCHEDULES).status_code == 200
    for schedule in Schedule.objects.all():
        assert schedule.periodic_task is not None
        schedule.periodic_task.refresh_from_db()
        assert schedule.periodic_task.schedule is not None


@pytest.mark.parametrize("kind", OWNED)
@FUZZED
@given(data=st.data())
def test_any_tool_is_taken_or_refused(api: Api, kind: str, data: st.DataObject) -> None:
    """Made or changed; the list of tools can be read."""
    TenantTool.objects.all().delete()
    McpServer.objects.all().delete()
    path, bodies = f"/api/v1/tools/{kind}/", mutated(OWNED[kind]) | values
    check(api.post(path, data.draw(bodies)))
    made = api.post(path, {**OWNED[kind], "name": "other"})
    assert made.status_code == 201
    check(api.patch(f"{path}{made.json()['id']}/", data.draw(bodies)))
    assert api.get("/api/v1/tools/").status_code == 200


@FUZZED
@given(
    body=st.fixed_dictionaries({"payload": values}) | values,
    name=texts | st.text(min_size=120, max_size=140),
)
def test_any_signal_is_taken_or_refused(api: Api, body: Any, name: str) -> None:
    """By whatever name; and any step may be asked to be approved."""
    run = f"{WORKFLOWS}{api.submit()}/"
    check(api.post(f"{run}signals/{escaped(name)}/", body))
    check(api.post(f"{run}steps/{escaped(name)}/approve/", body))
    assert api.get(run).status_code == 200


@FUZZED
@given(body=mutated({"from_step": "step_0", "input": {}}) | values, verb=st.sampled_from(["replay", "fork"]))
def test_any_replay_is_taken_or_refused(api: Api, body: Any, verb: str) -> None:
    """From whatever step, on whatever input."""
    check(api.post(f"{WORKFLOWS}{api.submit()}/{verb}/", body))


@FUZZED
@given(text=texts | moments)
def test_any_name_of_a_session_and_any_parameter_is_answered(api: Api, text: str) -> None:
    """With what there is, or 4xx."""
    for tail in ("", "turns/", "export/", f"turns/?after={escaped(text)}"):
        check(api.get(f"/api/v1/sessions/{escaped(text)}/{tail}"))
    check(api.delete(f"/api/v1/sessions/{escaped(text)}/"))
    for name in ("parent", "schedule", "session_id"):
        check(api.get(f"{WORKFLOWS}?{name}={escaped(text)}"))


@FUZZED
@given(
    name=st.sampled_from(["from", "to", "type", "tier", "measure", "all"]),
    text=texts | moments,
    since=moments,
)
def test_any_period_of_figures_is_answered(db: None, name: str, text: str, since: str) -> None:
    """Also at the ends of all time."""
    operator = Api(api_key_issue(name="operator").plaintext)
    for figures in ("drift", "profiles"):
        check(operator.get(f"/api/v1/operations/{figures}/?{name}={escaped(text)}"))
        check(operator.get(f"/api/v1/operations/{figures}/?from={escaped(since)}&to={escaped(text)}"))


@pytest.mark.parametrize("to", ["0001-01-01", "0001-01-20"])
def test_a_period_that_ends_before_time_began_is_a_400(api: Api, to: str) -> None:
    """There are no thirty days before it."""
    assert api.get(f"/api/v1/usage/?to={to}").status_code == 400
