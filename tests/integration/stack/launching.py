"""Starts launchers and stacks for tests, apart from the servers that the test run itself uses."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from config.stack.environment import SERVER_VARIABLES
from config.stack.layout import CHECKOUT

INHERITED = {
    *SERVER_VARIABLES.values(),
    "AGENTPLATFORM_HOME",
    "AGENTPLATFORM_SIMULATOR",
    "ANTHROPIC_API_KEY",
    "EMBEDDER_SOCKET",
}


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
