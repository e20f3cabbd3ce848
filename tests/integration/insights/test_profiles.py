"""What tasks took and cost, measured from real runs on the simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from agentplatform.execution.executor import Outcome
from agentplatform.execution.retry import Failure
from agentplatform.identifiers import uuid7
from agentplatform.profiles.profile import Counted, grouped, task_profiles
from agentplatform.simulator.settings import SimulatorSettings
from apps.budgets.models import LedgerEntry
from apps.insights.models import HourlyCallProfile, HourlyRunProfile, HourlyStepProfile, ProfiledHour
from apps.insights.profile_selectors import measured_seconds, stored_profile
from apps.insights.profiling import hour_profile, hours_due, profile_measure, profiles_renew
from apps.tenants.models import Tenant
from apps.tenants.services import tenant_create
from apps.tools.models import ToolCall
from apps.workflows.dispatching import wake_due
from apps.workflows.models import Step, StepAttempt, Workflow
from tests.integration.conftest import Hand
from tests.integration.gateway.test_running_steps import Worker
from tests.integration.insights.conftest import HOUR, this_hour
from tests.unit.conftest import RunningSimulator, serve

Submit = Callable[..., Workflow]
TABLES = (HourlyRunProfile, HourlyStepProfile, HourlyCallProfile)


@pytest.fixture(scope="module")
def _simulator() -> Iterator[RunningSimulator]:
    yield from serve(SimulatorSettings(latency_scale=0))


@pytest.fixture
def simulator(_simulator: RunningSimulator) -> RunningSimulator:
    """A simulator that answers at once, without faults and with no calls counted."""
    _simulator.reset()
    return _simulator


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    """A standard tenant whose rows other threads see."""
    return tenant_create(name="acme", tier="standard")


@pytest.fixture
def worker(simulator: RunningSimulator, hand: Hand) -> Worker:
    """A worker of the standard queue."""
    return Worker(simulator, hand)


def last_minutes() -> tuple[Any, Any]:
    """A time that all that a test has done lies in."""
    return timezone.now() - timedelta(minutes=5), timezone.now() + timedelta(minutes=1)


def test_a_profile_says_what_the_rows_say(submit: Submit, worker: Worker) -> None:
    """Runs, steps and calls are counted once each; tokens and money are the ledger's to the micro-dollar."""
    runs = [worker.run_all(submit("one_ask", {"calls": calls})) for calls in (1, 3)]
    worker.run_all(submit("fan_out", {"count": 4}))
    profile = profile_measure(*last_minutes())
    by_type = grouped(profile.runs, lambda key: key.task_type)
    assert (
        by_type["one_ask"]["arrived"],
        by_type["one_ask"]["succeeded"],
        by_type["fan_out"]["finished"],
    ) == (2, 2, 1)
    assert by_type["one_ask"].sketch("interarrival_seconds").count == 1
    assert by_type["fan_out"].sketch("fan_out:double").high == 4
    entries = LedgerEntry.objects.filter(workflow_id__in=[run.pk for run in runs])
    cost = sum(entry.cost_usd_micros for entry in entries)
    assert cost > 0
    assert by_type["one_ask"]["cost_usd_micros"] == cost
    asked = grouped(profile.steps, lambda key: key.task_type)["one_ask"]
    assert (asked["steps"], asked["runs"], asked["calls"], asked["attempts"], asked["retries"]) == (
        2,
        2,
        4,
        2,
        0,
    )
    assert asked["cost_usd_micros"] == asked.sketch("cost_usd_micros").total == cost
    assert asked.sketch("input_tokens").total == sum(entry.input_tokens for entry in entries)
    doubled = next(counted for key, counted in profile.steps.items() if key.node == "double")
    assert (doubled["steps"], doubled["runs"], doubled["calls"]) == (4, 1, 0)
    ((key, called),) = [(key, one) for key, one in profile.calls.items() if key.task_type == "one_ask"]
    assert (key.node, key.provider, key.kind) == ("step_0", "anthropic", "call")
    assert (called["settled"], called["cost_usd_micros"]) == (4, cost)
    assert called.sketch("output_tokens").total == sum(entry.output_tokens for entry in entries)
    assert called.sketch("seconds").count == 4


def test_a_step_is_as_long_as_it_held_its_slot(submit: Submit, hand: Hand) -> None:
    """All its attempts count, what lay between them does not; the wait is that of its last start.

    An attempt that only waited took its slot, and makes no retry.
    """
    submit("fails_once")
    hand.finish(hand.claim_next(), outcome=Outcome(failure=Failure("broken", "It broke.", transient=True)))
    Step.objects.update(run_at=timezone.now())
    wake_due()
    hand.finish(hand.claim_next(), {"done": True})
    now = timezone.now()
    StepAttempt.objects.update(
        started_at=now - timedelta(seconds=40), finished_at=now - timedelta(seconds=36)
    )
    StepAttempt.objects.create(
        step=Step.objects.get(),
        attempt=0,
        outcome="waited",
        worker="hand",
        started_at=now - timedelta(seconds=60),
        finished_at=now - timedelta(seconds=59),
    )
    Step.objects.update(
        ready_at=now - timedelta(seconds=12), started_at=now - timedelta(seconds=10), finished_at=now
    )
    ((_, step),) = profile_measure(*last_minutes()).steps.items()
    assert step.sketch("slot_seconds").high == pytest.approx(15)
    assert step.sketch("wait_seconds").high == pytest.approx(2)
    assert (step["attempts"], step["retries"], step["retried"]) == (2, 1, 1)


def test_tools_are_counted_by_step(submit: Submit, hand: Hand) -> None:
    """How often a step used them, for how long, and how often they failed; a step that has none counts as 0."""
    for calls in ("succeeded", "failed"), ():
        submit("one_noop")
        step = hand.claim_next()
        for ordinal, status in enumerate(calls):
            ToolCall.objects.create(
                id=uuid7(),
                tenant_id=step.tenant_id,
                workflow_id=step.workflow_id,
                step_id=step.step_id,
                attempt=1,
                ordinal=ordinal,
                tool="calculator",
                is_idempotent=True,
                status=status,
                seconds=0.5,
            )
        hand.finish(step, {"done": True})
    ((_, steps),) = profile_measure(*last_minutes()).steps.items()
    assert (steps["steps"], steps["tool_calls"], steps["tool_failures"]) == (2, 2, 1)
    assert (steps.sketch("tool_calls").zeros, steps.sketch("tool_calls").high) == (1, 2)
    assert (steps.sketch("tool_seconds").count, steps.sketch("tool_seconds").total) == (1, 1.0)


def summed(rows: Mapping[Any, Counted]) -> dict[Any, Any]:
    """Rows whose sums can be compared: seconds that were added in another order differ in their last digit."""
    return {
        key: (
            {name: round(count, 6) for name, count in row.counts.items()},
            {name: replace(sketch, total=round(sketch.total, 6)) for name, sketch in row.sketches.items()},
        )
        for key, row in rows.items()
    }


def test_an_hour_that_is_measured_twice_counts_once(submit: Submit, worker: Worker) -> None:
    """It is replaced whole, late rows included; the sum of the hours is what a measurement of both says."""
    worker.run_all(submit("one_ask", {"calls": 2}))
    for table in (Workflow, Step):
        table.objects.update(finished_at=this_hour() - timedelta(minutes=30))
    assert hour_profile(this_hour() - HOUR)
    before = [list(table.objects.order_by("pk").values("counts", "sketches")) for table in TABLES]
    assert hour_profile(this_hour() - HOUR)
    assert [list(table.objects.order_by("pk").values("counts", "sketches")) for table in TABLES] == before
    worker.run_all(submit("one_ask", {"calls": 1}))
    assert hour_profile(this_hour())
    since, until = this_hour() - HOUR, this_hour() + HOUR
    stored, measured = stored_profile(since, until), profile_measure(since, until)
    assert summed(stored.steps) == summed(measured.steps)
    assert summed(stored.calls) == summed(measured.calls)
    finished = HourlyRunProfile.objects.order_by("hour").values_list("counts__finished", flat=True)
    assert list(finished) == [1, 1]
    (asked,) = task_profiles(stored_profile(since, until, "one_ask"))
    assert (asked.task_type, asked.tier, asked.steps["steps"], asked.calls["settled"]) == (
        "one_ask",
        "fast",
        2,
        3,
    )
    assert stored_profile(since, until, "another").steps == {}
    assert HOUR.total_seconds() < measured_seconds(since, until) <= 2 * HOUR.total_seconds()


def test_hours_are_measured_until_they_are_complete(submit: Submit) -> None:
    """From the first run on; one that was measured before it was over is due again."""
    assert hours_due(timezone.now()) == []
    run = submit("one_noop")
    Workflow.objects.filter(pk=run.pk).update(created_at=this_hour() - 2 * HOUR)
    assert profiles_renew() == 3
    late = this_hour() + timedelta(minutes=30)
    ProfiledHour.objects.filter(hour=this_hour() - HOUR).update(
        computed_at=this_hour() + timedelta(minutes=4)
    )
    ProfiledHour.objects.filter(hour=this_hour() - 2 * HOUR).update(computed_at=this_hour())
    assert hours_due(late) == [this_hour(), this_hour() - HOUR]


def test_old_profiles_are_deleted(submit: Submit, settings: Any) -> None:
    """Once they are as old as is kept."""
    submit("one_noop")
    old = this_hour() - timedelta(days=settings.PROFILE_RETENTION_DAYS, hours=1)
    ProfiledHour.objects.create(hour=old, computed_at=old, took_seconds=0)
    profiles_renew()
    assert not ProfiledHour.objects.filter(hour=old).exists()
    assert ProfiledHour.objects.filter(hour=this_hour()).exists()
