"""What the gateway costs a call, beside the bare SDK and the LiteLLM proxy, on one simulator that answers at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx2
import psutil

from config.stack.stack import Stack
from tests.benchmarks.peers import prepare
from tests.benchmarks.results import Result
from tests.integration.stack.launching import free_ports

CALLS = 1_500
ROUNDS = 3
PROXY_CALLS = 300
REQUIREMENTS = Path(__file__).with_name("litellm.txt")


def measure(stack: Stack) -> list[Result]:
    """In turn, so that all share the machine's moods; medians of ROUNDS."""
    _without_limits(stack)
    figures: dict[str, list[dict[str, float]]] = {"sdk": [], "pinned": [], "routed": []}
    for _ in range(ROUNDS):
        for what, measured in figures.items():
            measured.append(_calls(stack, what, CALLS))
    sdk, pinned, routed = (_medians(figures[what]) for what in figures)
    results = [
        *_of("bare SDK", sdk),
        *_of("gateway, tier pinned", pinned, sdk, goal="≤ 1.5"),
        *_of("gateway, tier by complexity", routed, sdk),
    ]
    return results + _beside_litellm(stack, routed)


def _without_limits(stack: Stack) -> None:
    """The simulator tells of none that calls which take no time would reach."""
    most = {"requests": 10**7, "input_tokens": 10**9, "output_tokens": 10**9}
    url = f"http://127.0.0.1:{stack.ports['SIMULATOR_PORT']}/_control/providers/anthropic"
    httpx2.patch(url, json={"rate_limits": {"*": most}}).raise_for_status()


def _calls(stack: Stack, what: str, count: int, url: str = "") -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.calls", what, str(count), *([url] if url else [])]
    done = subprocess.run(
        command, env=dict(stack.environment), capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        raise SystemExit(f"the calls of '{what}' did not run; the last lines:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(run[name] for run in runs) for name in runs[0]}


def _of(
    name: str, own: dict[str, float], peer: dict[str, float] | None = None, goal: str = ""
) -> list[Result]:
    ratio = own["cpu_ms"] / peer["cpu_ms"] if peer else None
    return [
        Result(
            f"{name}: processor time a call",
            own["cpu_ms"],
            "ms",
            "bare SDK" if peer else "",
            ratio,
            goal,
        ),
        Result(f"{name}: a call, p50", own["p50_ms"], "ms"),
        Result(f"{name}: a call, p99", own["p99_ms"], "ms"),
        Result(f"{name}: calls a core-second", 1e3 / own["cpu_ms"], "calls"),
    ]


def _beside_litellm(stack: Stack, own: dict[str, float]) -> list[Result]:
    programs, why_not = prepare(".venv-litellm", REQUIREMENTS)
    if why_not:
        return []
    with _proxy(stack, programs) as (url, process):
        _calls(stack, "proxy", 50, url)
        before = _processor_seconds(process)
        measured = _calls(stack, "proxy", PROXY_CALLS, url)
        # The calls that warm the client up are the proxy's work as well.
        a_call = (_processor_seconds(process) - before) / (PROXY_CALLS + 50)
    ours, theirs = 1e3 / own["cpu_ms"], 1 / a_call
    return [
        Result("LiteLLM proxy, one worker: a call, p50", measured["p50_ms"], "ms"),
        Result("LiteLLM proxy, one worker: calls a core-second", theirs, "calls"),
        Result("gateway: calls a core-second", ours, "calls", "LiteLLM proxy", ours / theirs, "≥ 8"),
    ]


@contextmanager
def _proxy(stack: Stack, programs: Path) -> Iterator[tuple[str, psutil.Process]]:
    """LiteLLM as it comes, with one model and nothing switched on."""
    (port,) = free_ports(1)
    simulator = f"http://127.0.0.1:{stack.ports['SIMULATOR_PORT']}"
    model = {"model": "anthropic/claude-haiku-5-5", "api_base": simulator, "api_key": "simulator"}
    config = stack.log_path("litellm").with_suffix(".json")
    config.write_text(
        json.dumps({"model_list": [{"model_name": "claude-haiku-5-5", "litellm_params": model}]})
    )
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        # Its keys need a database: without them it has less to do.
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    for name in ("DATABASE_URL", "REDIS_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        environment.pop(name, None)
    command = [str(programs / "litellm"), "--config", str(config), "--port", str(port), "--num_workers", "1"]
    with stack.log_path("litellm").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        _until_alive(f"{url}/health/liveliness", stack.log_path("litellm"))
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _until_alive(url: str, log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            if httpx2.get(url).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.3)
    raise SystemExit(f"the LiteLLM proxy did not come up; see {log}")


def _processor_seconds(process: psutil.Process) -> float:
    return sum(
        sum(one.cpu_times()[:2]) for one in [process, *process.children(recursive=True)] if one.is_running()
    )
