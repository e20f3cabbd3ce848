"""Runs the peer DBOS (`dbos_chain.py`) on the same PostgreSQL server, in an environment and a database of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.benchmarks.peers import prepare

REQUIREMENTS = Path(__file__).with_name("dbos.txt")
CHAIN = Path(__file__).with_name("dbos_chain.py")
DATABASE = "agentplatform_bench_dbos"


class DbosPeer:
    """DBOS, ready to run."""

    def __init__(self, python: Path, url: str) -> None:
        self._python = python
        self._url = url

    def rate(self, workflows: int) -> float:
        """Steps a second over so many workflows, in a process that has warmed up."""
        command = [str(self._python), "-I", str(CHAIN), self._url, str(workflows)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise SystemExit(f"DBOS did not run; its last lines:\n{done.stderr[-2000:]}")
        return float(done.stdout.split()[-1])


@contextmanager
def dbos_peer() -> Iterator[DbosPeer | None]:
    """The peer for as long as the block runs, or None, and why on stderr, where it cannot be installed."""
    programs, why_not = prepare(".venv-dbos", REQUIREMENTS)
    if why_not:
        yield None
        return
    server = os.environ["DATABASE_URL"]
    drop = f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(f"CREATE DATABASE {DATABASE}")
        try:
            parts = {name: value for name, value in conninfo_to_dict(server).items() if name != "dbname"}
            yield DbosPeer(programs / "python", f"postgresql:///{DATABASE}?{urlencode(parts)}")
        finally:
            connection.execute(drop)
