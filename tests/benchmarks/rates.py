"""64 processes at a provider's limit of 600 requests a minute: never above it, and hardly ever below."""

from __future__ import annotations

import subprocess
import sys

import httpx2

from config.stack.stack import Stack
from tests.benchmarks.results import Result

PROCESSES = 64
LIMIT = 600
SECONDS = 121.0
"""Two minutes, and the seconds by which our minute is longer than the provider's."""


def measure(stack: Stack) -> list[Result]:
    """What the simulator received in the busiest 60 s, what it refused, and how much of the limit was used."""
    from apps.gateway.models import ProviderRate

    control = f"http://127.0.0.1:{stack.ports['SIMULATOR_PORT']}/_control"
    httpx2.delete(f"{control}/calls").raise_for_status()
    httpx2.patch(
        f"{control}/providers/anthropic", json={"rate_limits": {"haiku": {"requests": LIMIT}}}
    ).raise_for_status()
    ProviderRate.objects.create(provider_id="anthropic", family="claude-haiku", requests_per_minute=LIMIT)
    command = [sys.executable, "-m", "tests.benchmarks.rate_callers", str(PROCESSES), str(SECONDS)]
    done = subprocess.run(
        command, env=dict(stack.environment), capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise SystemExit(f"the callers did not run; the last lines:\n{done.stderr[-2000:]}")
    rates = httpx2.get(f"{control}/providers/anthropic").json()["rates"]["haiku"]
    ProviderRate.objects.all().delete()
    httpx2.delete(f"{control}/providers").raise_for_status()
    used = rates["accepted"] / (LIMIT * SECONDS / 60)
    return [
        Result(
            f"{PROCESSES} processes, limit {LIMIT} a minute: most received in any 60 s",
            rates["most_received_in_60_seconds"],
            "requests",
            goal=f"≤ {LIMIT}",
        ),
        Result("refused by the provider", rates["refused"], "requests", goal="0"),
        Result("used of the limit", used * 100, "%", goal="≥ 95"),
    ]
