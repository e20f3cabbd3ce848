"""How long a submission over REST waits for its first step to start, on an idle stack."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime

import httpx2

from config.stack.stack import Stack
from tests.benchmarks.results import Result

SUBMISSIONS = 300
PAUSE_SECONDS = 0.02


def measure(stack: Stack, key: str) -> list[Result]:
    """From before the request is sent to the database's time of the claim; both on this machine's clock."""
    from apps.workflows.models import Step

    waits = []
    with httpx2.Client(base_url=stack.base_url, headers={"Authorization": f"Bearer {key}"}) as client:
        for number in range(SUBMISSIONS + 20):
            sent_at = datetime.now(UTC)
            body = {"type": "one_noop", "input": {}, "priority": "interactive"}
            response = client.post("/api/v1/workflows/", json=body)
            response.raise_for_status()
            workflow_id = response.json()["workflow_id"]
            while (step := Step.objects.get(workflow_id=workflow_id)).started_at is None:
                time.sleep(0.002)
            if number >= 20:
                waits.append((step.started_at - sent_at).total_seconds() * 1000)
            time.sleep(PAUSE_SECONDS)
    percentiles = statistics.quantiles(waits, n=100)
    return [
        Result("submission to first step start, p50", percentiles[49], "ms"),
        Result("submission to first step start, p99", percentiles[98], "ms", goal="< 50"),
    ]
