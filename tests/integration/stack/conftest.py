"""Real stacks in homes of their own; the servers that the test run itself uses are left alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from config.stack.environment import SERVER_VARIABLES
from config.stack.layout import CHECKOUT
from config.stack.stack import Stack

INHERITED = {*SERVER_VARIABLES.values(), "AGENTPLATFORM_HOME", "ANTHROPIC_API_KEY", "AGENTPLATFORM_SIMULATOR"}

PROCFILE = """\
# Processes that need nothing of the product.
sleeper: python -c "import time; time.sleep(600)"
percent: python -c "import sys, time; print(sys.argv[1], flush=True); time.sleep(600)" worker@%h
environ: python -c "import json, os, time; print(json.dumps(dict(os.environ)), flush=True); time.sleep(600)"
spaced: python -c "import sys, time; print(sys.argv[1], flush=True); time.sleep(600)" $AGENTPLATFORM_HOME/file
simulator: python -c "import time; time.sleep(600)"
"""


def bare_environment(**extra: str) -> dict[str, str]:
    """This process's environment without what an outer stack put there."""
    return {name: value for name, value in os.environ.items() if name not in INHERITED} | extra


def free_ports(count: int) -> list[int]:
    """Distinct ports that nothing uses at this moment."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_for(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Returns as soon as the condition holds; fails the test when it does not within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def procfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Procfile of processes without Django."""
    path = tmp_path_factory.mktemp("procfile") / "Procfile"
    path.write_text(PROCFILE)
    return path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, procfile: Path) -> Iterator[Stack]:
    """A running stack with servers and processes, in a home whose path has a space in it."""
    port, flower, simulator = free_ports(3)
    home = tmp_path_factory.mktemp("with space") / "home"
    made = Stack(
        home,
        bare_environment(),
        port=port,
        flower_port=flower,
        simulator_port=simulator,
        procfile=procfile,
    )
    with made:
        made.start_servers()
        made.start()
        yield made
    made.erase()


class Launcher:
    """``python -m config.stack`` as a process of its own, with a home of its own."""

    def __init__(self, home: Path, *words: str, **extra: str) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "config.stack", *words],
            cwd=CHECKOUT,
            env=bare_environment(AGENTPLATFORM_HOME=str(home), **extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for_urls(self) -> list[str]:
        """The lines that ``servers`` prints once everything answers."""
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline().strip() for _ in SERVER_VARIABLES]
        assert all(lines), self.process.stderr and self.process.stderr.read()
        return lines

    def family(self) -> list[psutil.Process]:
        """Everything it has started so far, directly or not."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, seconds: float = 20.0) -> tuple[int, str]:
        """Wait for its end; the exit status and what it wrote to standard error."""
        _, errors = self.process.communicate(timeout=seconds)
        return self.process.returncode, errors


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Launcher]]:
    """Starts launchers; ends and erases them after the test, however it went."""
    started: list[Launcher] = []

    def start(*words: str, home: Path | None = None, **extra: str) -> Launcher:
        started.append(Launcher(home or tmp_path / "home", *words, **extra))
        return started[-1]

    yield start
    for launcher in started:
        if launcher.process.poll() is None:
            launcher.process.terminate()
        launcher.process.communicate(timeout=20)
    for home in {launcher.home for launcher in started}:
        Stack(home, bare_environment()).erase()
