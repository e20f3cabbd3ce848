"""Real stacks in homes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.stack.stack import Stack
from tests.integration.stack.launching import Launcher, bare_environment, free_ports

PROCFILE = """\
# Processes that need nothing of the product.
sleeper: python -c "import time; time.sleep(600)"
percent: python -c "import sys, time; print(sys.argv[1], flush=True); time.sleep(600)" worker@%h
environ: python -c "import json, os, time; print(json.dumps(dict(os.environ)), flush=True); time.sleep(600)"
spaced: python -c "import sys, time; print(sys.argv[1], flush=True); time.sleep(600)" $AGENTPLATFORM_HOME/file
simulator: python -c "import time; time.sleep(600)"
"""


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
