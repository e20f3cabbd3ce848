"""Elements of one wide fan-out a second, and what they take of a worker's memory."""

from __future__ import annotations

import time
import uuid
from typing import Any

from apps.workflows.models import Heartbeat, Workflow
from apps.workflows.services import workflow_start
from apps.workflows.submissions import submission_make
from config.stack.stack import Stack
from tests.benchmarks.results import Result
from tests.benchmarks.tenants import unlimited_tenant

ELEMENTS = 5_000


def measure(stack: Stack) -> list[Result]:
    """One fan-out of all elements, three at a time and without a bound."""
    stack.start(["throughput"])
    tenant = unlimited_tenant("fan-out")
    _seconds(tenant, "bounded", 200)
    resting = _memory()
    bounded = ELEMENTS / _seconds(tenant, "bounded", ELEMENTS)
    unbounded = ELEMENTS / _seconds(tenant, "each", ELEMENTS)
    grown = _memory() - resting
    stack.stop("throughput")
    return [
        Result(f"a fan-out of {ELEMENTS:,}, three elements at a time", bounded, "elements/s"),
        Result(f"a fan-out of {ELEMENTS:,}, without a bound", unbounded, "elements/s"),
        Result("what the worker has grown by meanwhile", grown / 1e6, "MB", goal="< 40"),
    ]


def _seconds(tenant: Any, type_: str, count: int) -> float:
    submission = submission_make(tenant=tenant, type_=type_, workflow_input={"items": list(range(count))})
    began = time.monotonic()
    workflow_id = workflow_start(tenant=tenant, submission=submission).id
    _ended(workflow_id)
    return time.monotonic() - began


def _ended(workflow_id: uuid.UUID) -> None:
    until = time.monotonic() + 600
    while (status := Workflow.objects.values_list("status", flat=True).get(pk=workflow_id)) == "running":
        if time.monotonic() > until:
            raise RuntimeError(f"fan-out {workflow_id} does not end")
        time.sleep(0.1)
    if status != "succeeded":
        raise RuntimeError(f"fan-out {workflow_id} ended {status}")


def _memory() -> int:
    """What the largest worker says it takes, in bytes."""
    return max(Heartbeat.objects.filter(kind="worker").values_list("rss_bytes", flat=True))
