"""Whether the platform is as quick with a million finished steps and a hundred thousand ready ones as with none."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from django.db import connection

from apps.workflows.models import Event, Step, Workflow
from apps.workflows.services import workflow_start
from apps.workflows.submissions import submission_make
from config.stack.stack import Stack
from tests.benchmarks.results import Result
from tests.benchmarks.tenants import unlimited_tenant

FINISHED_WORKFLOWS = 100_000
READY = 100_000
TENANTS = 20
SAMPLE = 3_000
ROUNDS = 3
WINDOW_SECONDS = 6.0


def measure(stack: Stack) -> list[Result]:
    """One-step workflows of twenty tenants, on an empty database and on a full one, with the same worker."""
    stack.start(["throughput"])
    tenants = [unlimited_tenant("volume") for _ in range(TENANTS)]
    _fill_ready(tenants, SAMPLE)
    _drained()
    empty = []
    for _ in range(ROUNDS):
        stack.stop("throughput")
        _fill_ready(tenants, SAMPLE * 4)
        stack.start(["throughput"])
        empty.append(_rate())
        _drained()
    _fill_finished(tenants, FINISHED_WORKFLOWS)
    stack.stop("throughput")
    _fill_ready(tenants, READY)
    _analyze()
    stack.start(["throughput"])
    full = [_rate() for _ in range(ROUNDS)]
    stack.stop("throughput")
    rate, peer = statistics.median(full), statistics.median(empty)
    return [
        Result("one-step workflows, empty database", peer, "steps/s"),
        Result(
            "the same with 1,000,000 finished and 100,000 ready steps",
            rate,
            "steps/s",
            f"empty: {peer:,.0f} steps/s",
            rate / peer,
            "≥ 0.9×",
        ),
    ]


def _fill_ready(tenants: Sequence[Any], count: int) -> None:
    """So many one-step workflows with a ready step: copies of one that was submitted."""
    source = _submit(tenants[0], "one_noop")
    ready = {"status": "'ready'", "attempt": "0", "ready_at": "now()"}
    _copy(source, tenants, count, steps=ready)
    with connection.cursor() as cursor:
        for tenant in tenants:
            cursor.execute("SELECT workflows_mark_lane('standard', %s)", [tenant.pk])


def _fill_finished(tenants: Sequence[Any], count: int) -> None:
    """So many workflows of ten steps that have ended, with their events: copies of one that has run."""
    source = _submit(tenants[0], "ten_noops")
    _until(lambda: Workflow.objects.get(pk=source).finished_at is not None)
    _copy(source, tenants, count, events={})


def _submit(tenant: Any, type_: str) -> uuid.UUID:
    submission = submission_make(tenant=tenant, type_=type_, workflow_input={}, queue="standard")
    return workflow_start(tenant=tenant, submission=submission).id


def _copy(
    source: uuid.UUID,
    tenants: Sequence[Any],
    count: int,
    *,
    steps: Mapping[str, str] = MappingProxyType({}),
    events: Mapping[str, str] | None = None,
) -> None:
    """Copies a workflow and its steps `count` times, over the tenants in turn; its events too where given."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE fresh AS SELECT workflows_uuid7() AS id, (%s::uuid[])[1 + i %% %s] AS tenant"
            " FROM generate_series(1, %s) i",
            [[tenant.pk for tenant in tenants], len(tenants), count],
        )
        for model, column, changes in (
            (Workflow, "id", {"id": "f.id", "tenant_id": "f.tenant"}),
            (
                Step,
                "workflow_id",
                {"id": "workflows_uuid7()", "workflow_id": "f.id", "tenant_id": "f.tenant", **steps},
            ),
            (Event, "workflow_id", {"id": "", "workflow_id": "f.id"} if events is not None else None),
        ):
            if changes is not None:
                names, values = _columns(model, changes)
                table = model._meta.db_table
                cursor.execute(
                    f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} t, fresh f WHERE t.{column} = %s",
                    [source],
                )
        cursor.execute("DROP TABLE fresh")


def _columns(model: Any, changes: Mapping[str, str]) -> tuple[str, str]:
    """The columns of a table and the expressions that copy a row, save for `changes`; "" leaves one out."""
    names = [field.column for field in model._meta.concrete_fields if changes.get(field.column) != ""]
    return ", ".join(f'"{name}"' for name in names), ", ".join(changes.get(n, f't."{n}"') for n in names)


def _rate() -> float:
    """Steps finished per second, over a window in which there is always more to do."""
    _until(_is_working)
    started, before = time.monotonic(), _unfinished()
    time.sleep(WINDOW_SECONDS)
    done = before - _unfinished()
    assert Step.objects.filter(status="ready").exists(), "the work was over before the window was"
    return done / (time.monotonic() - started)


def _unfinished() -> int:
    return Workflow.objects.filter(finished_at=None).count()


def _is_working() -> bool:
    return Step.objects.filter(status="running").exists()


def _drained() -> None:
    _until(lambda: not Workflow.objects.filter(finished_at=None).exists())


def _analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE workflows_workflow, workflows_step, workflows_event, workflows_lane")


def _until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the benchmark does not get on"
        time.sleep(0.05)
