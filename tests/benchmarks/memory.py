"""What one execution worker weighs with 500 model calls in flight."""

from __future__ import annotations

import time

import httpx2
import psutil

from config.stack.stack import Stack
from tests.benchmarks.results import Result

CALLS = 500
SECONDS = 2.0


def measure(stack: Stack) -> list[Result]:
    """The worker's peak resident memory while the simulator holds 500 of its calls for 2 s each."""
    from apps.tenants.services import tenant_create
    from apps.workflows.models import Workflow
    from apps.workflows.services import workflow_start
    from apps.workflows.submissions import submission_make

    simulator = f"http://127.0.0.1:{stack.ports['SIMULATOR_PORT']}"
    httpx2.post(f"{simulator}/_control/faults", json={"delay_seconds": SECONDS}).raise_for_status()
    stack.start(["memory"])
    tenants = [
        tenant_create(name=f"memory {n} {time.time_ns()}", tier="standard") for n in range(CALLS // 50)
    ]
    submission = submission_make(
        tenant=tenants[0], type_="one_ask", workflow_input={"calls": 2}, queue="batch"
    )
    for number in range(2 * CALLS):
        workflow_start(tenant=tenants[number % len(tenants)], submission=submission)
    peak_bytes, most_in_flight = 0, 0
    while Workflow.objects.filter(finished_at=None).exists():
        in_flight = httpx2.get(f"{simulator}/_control/calls").json()["in_flight"]
        most_in_flight = max(most_in_flight, in_flight)
        peak_bytes = max(peak_bytes, _resident_bytes(stack.pid("memory")))
        time.sleep(0.2)
    stack.stop("memory")
    httpx2.delete(f"{simulator}/_control/faults")
    return [
        Result(
            f"one worker, {most_in_flight} calls in flight at {SECONDS:.0f} s",
            peak_bytes / 2**20,
            "MB",
            goal="< 400",
        )
    ]


def _resident_bytes(pid: int) -> int:
    process = psutil.Process(pid)
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])
