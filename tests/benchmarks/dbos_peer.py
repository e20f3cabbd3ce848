"""Runs the peer DBOS (`dbos_chain.py`) on the same PostgreSQL server, in an environment and a database of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from config.stack.layout import CHECKOUT

REQUIREMENTS = Path(__file__).with_name("dbos.txt")
CHAIN = Path(__file__).with_name("dbos_chain.py")
ENVIRONMENT = CHECKOUT / ".venv-dbos"
DATABASE = "agentplatform_bench_dbos"


class DbosPeer:
    """DBOS, ready to run."""

    def __init__(self, url: str) -> None:
        self._url = url

    def rate(self, workflows: int) -> float:
        """Steps a second over so many workflows, in a process that has warmed up."""
        command = [str(ENVIRONMENT / "bin/python"), "-I", str(CHAIN), self._url, str(workflows)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise SystemExit(f"DBOS did not run; its last lines:\n{done.stderr[-2000:]}")
        return float(done.stdout.split()[-1])


@contextmanager
def dbos_peer() -> Iterator[DbosPeer | None]:
    """The peer for as long as the block runs, or None, and why on stderr, where it cannot be installed."""
    why_not = _prepare()
    if why_not:
        sys.stderr.write(f"Without DBOS: {REQUIREMENTS.name} cannot be installed.\n{why_not}\n")
        yield None
        return
    server = os.environ["DATABASE_URL"]
    drop = f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(f"CREATE DATABASE {DATABASE}")
        try:
            parts = {name: value for name, value in conninfo_to_dict(server).items() if name != "dbname"}
            yield DbosPeer(f"postgresql:///{DATABASE}?{urlencode(parts)}")
        finally:
            connection.execute(drop)


def _prepare() -> str:
    """Makes the environment unless it is there as required; returns why that failed, or nothing."""
    stamp = ENVIRONMENT / REQUIREMENTS.name
    if stamp.exists() and stamp.read_text() == REQUIREMENTS.read_text():
        return ""
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    pip = [str(ENVIRONMENT / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(ENVIRONMENT)], [*pip, "-r", str(REQUIREMENTS)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr or done.stdout)[-1000:]
    shutil.copy(REQUIREMENTS, stamp)
    return ""
