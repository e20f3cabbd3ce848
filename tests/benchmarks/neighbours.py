"""A noisy neighbour: what a tenant waits for while another floods its queue, and whether shares match weights."""

from __future__ import annotations

import bisect
import random
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from apps.workflows.models import Heartbeat, Step, Workflow
from apps.workflows.services import AlreadyFinished, workflow_cancel, workflow_start
from apps.workflows.submissions import submission_make
from config.stack.stack import Stack
from tests.benchmarks.results import Result
from tests.benchmarks.tenants import unlimited_tenant

SLOTS = 40
FLOOD_STEPS = 10_000
FLOOD_SECONDS = 0.5
QUIET = 200
WEIGHTS = (1, 2, 4)
SHARE_STEPS = 3_000
SHARE_SECONDS = 0.15
WARM_UP = 150
"""Steps of each tenant before its share is measured: until then tenants use up how far they may run ahead."""
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
    alone = [wait for wait, _ in _waits(unlimited_tenant("quiet alone"), over_seconds=20)]
    flooder, quiet = unlimited_tenant("flood"), unlimited_tenant("quiet beside")
    _flood(flooder, FLOOD_STEPS, FLOOD_SECONDS)
    _until(lambda: _running(flooder) >= SLOTS * 0.7)
    beside = _waits(quiet, over_seconds=60)
    assert _unfinished(flooder), "the flood was over before the other tenant had finished"
    freed_at = sorted(
        Step.objects.filter(tenant=flooder, status="succeeded").values_list("finished_at", flat=True)
    )
    _cancel(flooder)
    # What a wait is beyond the moment at which the first slot became free after the submission.
    beyond = [max(0.0, wait - _until_free(freed_at, submitted_at)) for wait, submitted_at in beside]
    p99_alone, p99_beside = _p99(alone), _p99([wait for wait, _ in beside])
    return [
        Result("a tenant's wait for its step's start, alone, p99", p99_alone, "ms"),
        Result("the same beside a flood of 10,000 steps of 500 ms on 40 slots, p99", p99_beside, "ms"),
        Result(
            "of this, once a slot has become free, p99",
            _p99(beyond),
            "ms",
            f"alone {p99_alone:.1f} ms",
            _p99(beyond) / p99_alone,
            "≤ 2×",
        ),
    ]


def _until_free(freed_at: Sequence[datetime], submitted_at: datetime) -> float:
    """Seconds from a submission until the next step of the flood ended."""
    place = bisect.bisect(freed_at, submitted_at)
    return (freed_at[place] - submitted_at).total_seconds() if place < len(freed_at) else 0.0


def _shares() -> list[Result]:
    tenants = [unlimited_tenant(f"weight {weight}", weight) for weight in WEIGHTS]
    for tenant in tenants:
        _flood(tenant, SHARE_STEPS, SHARE_SECONDS, in_workflows_of=50)
    _until(lambda: min(_started(tenant) for tenant in tenants) > WARM_UP)
    before = [_started(tenant) for tenant in tenants]
    # Until the heaviest has had most of its steps: all three have work waiting all the while.
    _until(lambda: _started(tenants[-1]) > SHARE_STEPS * 0.8)
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


def _flood(tenant: Any, steps: int, seconds: float, in_workflows_of: int = 1_000) -> None:
    """So many steps, ready at once.

    Steps of one workflow end one after the other: where they are short it takes many workflows to fill the slots.
    """
    for _ in range(steps // in_workflows_of):
        submission = submission_make(
            tenant=tenant,
            type_="each_sleeps",
            workflow_input={"items": list(range(in_workflows_of)), "seconds": seconds},
            queue="standard",
        )
        workflow_start(tenant=tenant, submission=submission)


def _waits(tenant: Any, *, over_seconds: float) -> list[tuple[float, datetime]]:
    """Of QUIET single steps, submitted at random moments: seconds until each started, and when it was submitted."""
    submission = submission_make(tenant=tenant, type_="one_noop", workflow_input={}, queue="standard")
    chance = random.Random(SEED)
    for _ in range(QUIET):
        time.sleep(chance.expovariate(QUIET / over_seconds))
        workflow_start(tenant=tenant, submission=submission)
    steps = Step.objects.filter(tenant=tenant)
    _until(lambda: not steps.filter(started_at=None).exists())
    return [
        ((started_at - created_at).total_seconds(), created_at)
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
        with suppress(AlreadyFinished):
            workflow_cancel(workflow.pk)
    _until(lambda: _running(tenant) == 0)


def _wait_for_slots() -> None:
    _until(lambda: Heartbeat.objects.filter(kind="worker", slots=SLOTS).exists())


def _until(condition: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the benchmark does not get on"
        time.sleep(0.05)
