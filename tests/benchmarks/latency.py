"""How long a submission over REST waits for its first step to start, and for the answer, on an idle stack."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime

import httpx2

from config.stack.stack import Stack
from tests.benchmarks.results import Result

SUBMISSIONS = 300
WARM_UP = 20
PAUSE_SECONDS = 0.02


def measure(stack: Stack, key: str) -> list[Result]:
    """To the first step's start without waiting, and from the end to the answer with `Prefer: wait`."""
    return [*_measure_start(stack, key), *_measure_answer(stack, key)]


def _measure_start(stack: Stack, key: str) -> list[Result]:
    """From before the request is sent to the database's time of the claim; both on this machine's clock."""
    from apps.workflows.models import Step

    waits = []
    with httpx2.Client(base_url=stack.base_url, headers={"Authorization": f"Bearer {key}"}) as client:
        for number in range(SUBMISSIONS + WARM_UP):
            sent_at = datetime.now(UTC)
            body = {"type": "one_noop", "input": {}, "priority": "interactive"}
            response = client.post("/api/v1/workflows/", json=body)
            response.raise_for_status()
            workflow_id = response.json()["workflow_id"]
            while (step := Step.objects.get(workflow_id=workflow_id)).started_at is None:
                time.sleep(0.002)
            if number >= WARM_UP:
                waits.append((step.started_at - sent_at).total_seconds() * 1000)
            time.sleep(PAUSE_SECONDS)
    percentiles = statistics.quantiles(waits, n=100)
    return [
        Result("submission to first step start, p50", percentiles[49], "ms"),
        Result("submission to first step start, p99", percentiles[98], "ms", goal="< 50"),
    ]


def _measure_answer(stack: Stack, key: str) -> list[Result]:
    delays = answer_delays(stack.base_url, key, SUBMISSIONS + WARM_UP)[WARM_UP:]
    percentiles = statistics.quantiles([1000 * delay for delay in delays], n=100)
    return [
        Result("ten no-ops with Prefer: wait, end to answer, p50", percentiles[49], "ms"),
        Result("ten no-ops with Prefer: wait, end to answer, p99", percentiles[98], "ms", goal="< 50"),
    ]


def answer_delays(base_url: str, key: str, count: int) -> list[float]:
    """Seconds from each workflow's end, by the database's clock, to the whole answer's arrival."""
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=30"}
    body = {"type": "ten_noops", "input": {}, "priority": "interactive"}
    delays = []
    with httpx2.Client(base_url=base_url, headers=headers, timeout=40) as client:
        for _ in range(count):
            response = client.post("/api/v1/workflows/", json=body)
            arrived_at = datetime.now(UTC)
            assert response.status_code == 200, response.text
            delays.append(
                (arrived_at - datetime.fromisoformat(response.json()["finished_at"])).total_seconds()
            )
            time.sleep(PAUSE_SECONDS)
    return delays
