"""`make bench`: measures everything that the documentation claims, prints a table, writes benchmarks/results.json.

`python -m tests.benchmarks PART …` measures some of the parts named in ALL. The servers are those of DATABASE_URL, BROKER_URL and REDIS_URL; the product's processes and the peers run on them in turn.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import httpx2

from config.stack.stack import Stack
from tests.benchmarks.results import Result, show
from tests.integration.stack.launching import free_ports

ALL = (
    "throughput",
    "fan_outs",
    "latency",
    "first_token",
    "streams",
    "memory",
    "gateway",
    "rates",
    "budgets",
    "caching",
    "neighbours",
    "volume",
)
PROCFILE = Path(__file__).with_name("Procfile")


def main(wanted: tuple[str, ...]) -> None:
    """Runs the wanted parts and shows their results together."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "AGENTPLATFORM_EXTRA_APPS": "tests.workload",
        "LOG_LEVEL": "WARNING",
        "CACHE_PATIENCE_SECONDS": "1",  # the machine may be busy
        "DATABASE_ANSWER_SECONDS": "0",  # a million rows take their time
    }
    port, flower_port, simulator_port = free_ports(3)
    with tempfile.TemporaryDirectory() as home:
        stack = Stack(
            Path(home), port=port, flower_port=flower_port, simulator_port=simulator_port, procfile=PROCFILE
        )
        with stack:
            stack.start_servers()
            stack.migrate()
            key = stack.bootstrap()["tenant_key"]
            show(_measure(stack, key, wanted))
        stack.erase()


def _measure(stack: Stack, key: str, wanted: tuple[str, ...]) -> list[Result]:
    import django

    django.setup()
    from apps.tenants.models import TenantTier
    from apps.workflows.models import QueueConfig
    from tests.benchmarks import (
        budgets,
        caching,
        fan_outs,
        first_token,
        gateway,
        latency,
        memory,
        neighbours,
        rates,
        streams,
        throughput,
        volume,
    )
    from tests.benchmarks.tenants import UNLIMITED

    QueueConfig.objects.filter(name="batch").update(max_concurrent=1_000)
    TenantTier.objects.update(**UNLIMITED)
    stack.start(["dispatcher"])
    results = throughput.measure(stack) if "throughput" in wanted else []
    if "fan_outs" in wanted:
        results += fan_outs.measure(stack)
    over_rest = [
        part for part in (latency, first_token, streams) if part.__name__.rpartition(".")[2] in wanted
    ]
    if over_rest or "caching" in wanted:
        stack.start(["web", "interactive", "simulator"])
        _wait_for_web(stack)
        for part in over_rest:
            results += part.measure(stack, key)
        if "caching" in wanted:
            results += caching.measure_over_rest(stack, key)
        for name in ("interactive", "web", "simulator"):
            stack.stop(name)
    of_calls = [
        part for part in (memory, gateway, rates, budgets) if part.__name__.rpartition(".")[2] in wanted
    ]
    if of_calls:
        stack.start(["simulator"])
        time.sleep(2)
        for part in of_calls:
            results += part.measure(stack)
        stack.stop("simulator")
    if "caching" in wanted:
        stack.start(["embedder"])
        time.sleep(5)
        results += caching.measure(stack)
        stack.stop("embedder")
    if "neighbours" in wanted:
        results += neighbours.measure(stack)
    if "volume" in wanted:
        results += volume.measure(stack)
    return results


def _wait_for_web(stack: Stack) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if "'interactive'" not in httpx2.get(f"{stack.base_url}/readyz").text:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"the web process did not come up; see {stack.log_path('web')}")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or ALL)
