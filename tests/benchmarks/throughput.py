"""Steps a second: ten-step no-op workflows here, beside a plain Celery chain and DBOS on the same servers, in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from config.stack.stack import Stack
from tests.benchmarks.dbos_peer import DbosPeer, dbos_peer
from tests.benchmarks.results import Result

ROUNDS = 3
WORKFLOWS = 300
STEPS = 10
TENANTS = 20


def measure(stack: Stack) -> list[Result]:
    """Idle: one tenant. Backlogged: twenty tenants, all with work waiting. Each beside the peers."""
    with dbos_peer() as dbos:
        return _measure(stack, dbos)


def _measure(stack: Stack, dbos: DbosPeer | None) -> list[Result]:
    plain, idle, backlogged, continued, durable = [], [], [], [], []
    for number in range(ROUNDS):
        stack.start(["plain"])
        plain.append(_plain_rate())
        stack.stop("plain")
        stack.start(["throughput"])
        _warm_up()
        idle.append(_rate(_tenants(f"idle {number}", 1))[0])
        rate, share = _rate(_tenants(f"backlogged {number}", TENANTS))
        backlogged.append(rate)
        continued.append(share)
        stack.stop("throughput")
        if dbos is not None:
            durable.append(dbos.rate(WORKFLOWS))
    return [*_beside_plain(plain, idle, backlogged, continued), *_beside_dbos(idle, durable)]


def _beside_plain(
    plain: Sequence[float], idle: Sequence[float], backlogged: Sequence[float], continued: Sequence[float]
) -> list[Result]:
    peer = f"plain Celery chain, prefork ×2: {statistics.median(plain):,.0f} steps/s"
    return [
        Result("plain Celery chain, ten no-ops", statistics.median(plain), "steps/s"),
        Result(
            "durable workflow, ten no-ops, idle",
            statistics.median(idle),
            "steps/s",
            peer,
            _ratio(idle, plain),
            "≥ 2×",
        ),
        Result(
            f"the same, {TENANTS} tenants backlogged",
            statistics.median(backlogged),
            "steps/s",
            peer,
            _ratio(backlogged, plain),
            "≥ 1×",
        ),
        Result("of these, continued without a message", 100 * statistics.median(continued), "%"),
    ]


def _beside_dbos(idle: Sequence[float], durable: Sequence[float]) -> list[Result]:
    if not durable:
        return []
    rate = statistics.median(durable)
    peer = f"DBOS, start_workflow: {rate:,.0f} steps/s"
    ours = Result(
        "durable workflow, ten no-ops, idle, beside DBOS",
        statistics.median(idle),
        "steps/s",
        peer,
        _ratio(idle, durable),
        "≥ 5×",
    )
    return [Result("DBOS, ten no-ops", rate, "steps/s"), ours]


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the pairs' ratios: the machine's speed drifts."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _plain_rate() -> float:
    from tests.benchmarks.plain_chain import ten_noops

    ten_noops().get(timeout=60)  # type: ignore[attr-defined]
    started = time.monotonic()
    results = [ten_noops() for _ in range(WORKFLOWS)]
    for result in results:
        result.get(timeout=120)  # type: ignore[attr-defined]
    return WORKFLOWS * STEPS / (time.monotonic() - started)


def _tenants(name: str, count: int) -> list[object]:
    from apps.tenants.services import tenant_create

    return [
        tenant_create(name=f"{name} {number} {time.time_ns()}", tier="standard") for number in range(count)
    ]


def _submit(tenants: Sequence[object], count: int) -> None:
    from apps.workflows.services import workflow_start
    from apps.workflows.submissions import submission_make

    submission = submission_make(
        tenant=tenants[0],  # type: ignore[arg-type]
        type_="ten_noops",
        workflow_input={},
        queue="standard",
    )
    for number in range(count):
        workflow_start(tenant=tenants[number % len(tenants)], submission=submission)  # type: ignore[arg-type]


def _wait() -> None:
    from apps.workflows.models import Workflow

    while Workflow.objects.filter(finished_at=None).exists():
        time.sleep(0.02)


def _warm_up() -> None:
    _submit(_tenants("warm up", 1), 5)
    _wait()


def _rate(tenants: Sequence[object]) -> tuple[float, float]:
    """Steps a second from the first submission to the last end, and the share of steps that needed no message."""
    from apps.workflows.models import Step

    started = time.monotonic()
    _submit(tenants, WORKFLOWS)
    _wait()
    seconds = time.monotonic() - started
    steps = Step.objects.filter(tenant__in=tenants)
    return steps.count() / seconds, steps.filter(hints=0).count() / steps.count()
