"""The embedder as tests start it: the real process with the real model."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentplatform.embedding.client import EmbedderClient


def start_embedder(socket: Path) -> subprocess.Popen[bytes]:
    """Starts the process, and returns once it answers."""
    process = subprocess.Popen([sys.executable, "-m", "agentplatform.embedding", "--socket", str(socket)])
    client = EmbedderClient(str(socket))
    deadline = time.monotonic() + 30
    while not client.answers():
        assert process.poll() is None, "the embedder has ended"
        assert time.monotonic() < deadline, "the embedder does not answer"
        time.sleep(0.05)
    return process


@contextmanager
def running_embedder(socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An embedder for as long as the block lasts."""
    process = start_embedder(socket)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)
