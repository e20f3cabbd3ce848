"""A noisy neighbour: what a tenant waits for while another floods its queue, and whether shares match weights."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

from apps.workflows.models import Heartbeat, Step, Workflow
from apps.workflows.services import workflow_cancel, workflow_start
from apps.workflows.submissions import submission_make
from config.stack.stack import Stack
from tests.benchmarks.results import Result
from tests.benchmarks.tenants import unlimited_tenant

SLOTS = 40
FLOOD_STEPS = 10_000
FLOOD_SECONDS = 0.5
QUIET = 200
WEIGHTS = (1, 2, 4)
SHARE_STEPS = 1_500
SHARE_SECONDS = 0.05
SEED = 1


def measure(stack: Stack) -> list[Result]:
    """B's waits alone, then beside A's flood; then the shares of three tenants that all have work waiting."""
    stack.start(["neighbours"])
    _wait_for_slots()
    try:
        return [*_noise(), *_shares()]
    finally:
        stack.stop("neighbours")


def _noise() -> list[Result]:
    alone = _waits(unlimited_tenant("quiet alone"), over_seconds=20)
    flooder, quiet = unlimited_tenant("flood"), unlimited_tenant("quiet beside")
    _flood(flooder, FLOOD_STEPS, FLOOD_SECONDS)
    _until(lambda: _running(flooder) >= SLOTS * 0.7)
    beside = _waits(quiet, over_seconds=60)
    left = _unfinished(flooder)
    assert left, "the flood was over before the other tenant had finished"
    _cancel(flooder)
    # A slot frees up every FLOOD_SECONDS / SLOTS on average; the longest gap between two is what the last waits for.
    slot_ms = 1000 * FLOOD_SECONDS / SLOTS
    p99_alone, p99_beside = _p99(alone), _p99(beside)
    peer = f"alone {p99_alone:.1f} ms; a slot frees up every {slot_ms:.1f} ms"
    return [
        Result("a tenant's wait for its step's start, alone, p99", p99_alone, "ms"),
        Result("the same beside a flood of 10,000 steps, p50", 1000 * statistics.median(beside), "ms"),
        Result(
            "the same beside a flood of 10,000 steps, p99",
            p99_beside,
            "ms",
            peer,
            (p99_beside - slot_ms) / p99_alone,
            "≤ 2×",
        ),
    ]


def _shares() -> list[Result]:
    tenants = [unlimited_tenant(f"weight {weight}", weight) for weight in WEIGHTS]
    for tenant in tenants:
        _flood(tenant, SHARE_STEPS, SHARE_SECONDS)
    done = [0, 0, 0]
    _until(lambda: min(_started(tenant) for tenant in tenants) > 10)
    before = [_started(tenant) for tenant in tenants]
    # Until the heaviest has had half of its steps: all three have work waiting all the while.
    _until(lambda: _started(tenants[-1]) > SHARE_STEPS * 0.6)
    done = [_started(tenant) - start for tenant, start in zip(tenants, before, strict=True)]
    for tenant in tenants:
        _cancel(tenant)
    total = sum(done)
    worst = max(
        abs(count / total - weight / sum(WEIGHTS)) / (weight / sum(WEIGHTS))
        for count, weight in zip(done, WEIGHTS, strict=True)
    )
    shares = " : ".join(f"{100 * count / total:.1f}%" for count in done)
    return [
        Result("shares of tenants of weights 1 : 2 : 4, furthest off", 100 * worst, "%", shares, goal="≤ 5%")
    ]


def _flood(tenant: Any, steps: int, seconds: float) -> None:
    """So many steps in workflows of a thousand, ready at once."""
    each = 1_000 if steps > 2_000 else steps
    for _ in range(steps // each):
        submission = submission_make(
            tenant=tenant,
            type_="each_sleeps",
            workflow_input={"items": list(range(each)), "seconds": seconds},
            queue="standard",
        )
        workflow_start(tenant=tenant, submission=submission)


def _waits(tenant: Any, *, over_seconds: float) -> list[float]:
    """Seconds from ready to running of QUIET single steps, submitted at random moments."""
    submission = submission_make(tenant=tenant, type_="one_noop", workflow_input={}, queue="standard")
    chance = random.Random(SEED)
    for _ in range(QUIET):
        time.sleep(chance.expovariate(QUIET / over_seconds))
        workflow_start(tenant=tenant, submission=submission)
    steps = Step.objects.filter(tenant=tenant)
    _until(lambda: not steps.filter(started_at=None).exists())
    return [
        (started_at - created_at).total_seconds()
        for started_at, created_at in steps.values_list("started_at", "workflow__created_at")
    ]


def _p99(waits: Sequence[float]) -> float:
    return 1000 * statistics.quantiles(waits, n=100)[98]


def _running(tenant: Any) -> int:
    return Step.objects.filter(tenant=tenant, status="running").count()


def _started(tenant: Any) -> int:
    return Step.objects.filter(tenant=tenant).exclude(started_at=None).count()


def _unfinished(tenant: Any) -> int:
    return Workflow.objects.filter(tenant=tenant, finished_at=None).count()


def _cancel(tenant: Any) -> None:
    for workflow in Workflow.objects.filter(tenant=tenant, finished_at=None):
        workflow_cancel(workflow.pk)
    _until(lambda: _running(tenant) == 0)


def _wait_for_slots() -> None:
    _until(lambda: Heartbeat.objects.filter(kind="worker", slots=SLOTS).exists())


def _until(condition: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the benchmark does not get on"
        time.sleep(0.05)
