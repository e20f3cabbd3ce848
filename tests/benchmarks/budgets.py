"""What budgets cost and what they hold: the last dollar of a window, and steps a second with and without them."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any

from config.stack.stack import Stack
from tests.benchmarks.results import Result

PROCESSES = 64
CAP_USD = 0.1
KILLS = 20
ROUNDS = 4
WORKFLOWS = 150
STEPS = 3
TENANTS = 50


def measure(stack: Stack) -> list[Result]:
    """The simulator is there already."""
    return [*_throughput(stack), *_last_dollar(stack)]


def _last_dollar(stack: Stack) -> list[Result]:
    """64 processes, with fallbacks, broken streams and kills, until nothing fits any longer."""
    command = [sys.executable, "-m", "tests.benchmarks.spenders", str(PROCESSES), str(CAP_USD), str(KILLS)]
    done = subprocess.run(
        command, env=dict(stack.environment), capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        raise SystemExit(f"the spenders did not come to an end; the last lines:\n{done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    cap, used = told["cap_usd_micros"], told["used_usd_micros"]
    return [
        Result(f"{PROCESSES} processes, last {CAP_USD} $: overspend", max(0, used - cap), "µ$", goal="0"),
        Result("counter less ledger", used - told["ledger_usd_micros"], "µ$", goal="0"),
        Result("left reserved", told["in_flight_usd_micros"], "µ$", goal="0"),
        Result("could be spent", 100 * used / cap, "%", goal="≥ 98"),
        Result("of it unknown, at its worst case", 100 * told["unknown_usd_micros"] / cap, "%"),
        Result("calls", told["calls"], f"in {told['seconds']:.0f} s"),
        Result("of these failed", told["failed"], "calls"),
        Result("by the second provider", told["fallbacks"], "calls"),
    ]


def _throughput(stack: Stack) -> list[Result]:
    """Each round with budgets and without, in turn and each first in turn: the machine's speed drifts."""
    pairs: dict[int, list[tuple[float, float]]] = {1: [], TENANTS: []}
    stack.start(["throughput"])
    _rate(_customers(1), 10)
    for number in range(ROUNDS):
        for count, measured in pairs.items():
            customers = _customers(count)
            rates = {}
            for has_budgets in (True, False) if number % 2 else (False, True):
                if has_budgets:
                    _give_budgets(customers)
                rates[has_budgets] = _rate(customers, WORKFLOWS)
                _take_budgets()
            measured.append((rates[True], rates[False]))
    stack.stop("throughput")
    return [
        Result(
            f"steps of one call each, eight windows, {count} tenant{'s' if count > 1 else ''}",
            statistics.median(with_budgets for with_budgets, _ in measured),
            "steps/s",
            f"without budgets: {statistics.median(without for _, without in measured):,.0f} steps/s",
            statistics.median(a / b for a, b in measured),
            "≥ 0.9×",
        )
        for count, measured in pairs.items()
    ]


Customer = tuple[Any, Any]
"""A tenant, and its key."""


def _customers(count: int) -> list[Customer]:
    from apps.tenants.services import api_key_issue, tenant_create

    tenants = [tenant_create(name=f"budgets {uuid.uuid4()}", tier="standard") for _ in range(count)]
    return [(tenant, api_key_issue(name="bench", tenant=tenant).api_key) for tenant in tenants]


def _give_budgets(customers: Sequence[Customer]) -> None:
    """Of the platform, the tier, each tenant and each key, by day and by month; none comes near its cap."""
    from apps.budgets.models import Budget

    caps = {"daily_usd_micros": 10**12, "monthly_usd_micros": 10**13, "daily_tokens": 10**12}
    Budget.objects.create(name="platform", scope="platform", **caps)
    Budget.objects.create(name="tier", scope="tier", tier=customers[0][0].tier, **caps)
    for tenant, key in customers:
        Budget.objects.create(name=f"tenant {tenant.pk}", scope="tenant", tenant=tenant, **caps)
        Budget.objects.create(name=f"key {key.pk}", scope="api_key", api_key=key, **caps)


def _take_budgets() -> None:
    from apps.budgets.models import Budget

    Budget.objects.all().delete()


def _rate(customers: Sequence[Customer], count: int) -> float:
    """Steps a second from the first submission to the last end."""
    from apps.workflows.models import Workflow
    from apps.workflows.services import workflow_start
    from apps.workflows.submissions import submission_make

    submission = submission_make(
        tenant=customers[0][0], type_="three_asks", workflow_input={}, queue="standard"
    )
    started = time.monotonic()
    for number in range(count):
        tenant, key = customers[number % len(customers)]
        workflow_start(tenant=tenant, submission=submission, api_key=key)
    while Workflow.objects.filter(finished_at=None).exists():
        time.sleep(0.02)
    failed = Workflow.objects.exclude(status__in=["succeeded", "cancelled"]).count()
    assert not failed, f"{failed} workflows did not succeed"
    return count * STEPS / (time.monotonic() - started)
