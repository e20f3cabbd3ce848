"""PgBouncer in transaction mode before a PostgreSQL: `python -m tests.pgbouncer COMMAND` runs a command through it.

Needs the program `pgbouncer` (Debian's package of this name).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.integration.stack.launching import free_ports

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
CONFIGURATION = """\
[databases]
* = host={host} port={port} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 20
server_idle_timeout = 1
logfile =
pidfile =
"""


@contextmanager
def pgbouncer(database_url: str) -> Iterator[str]:
    """A PgBouncer before the server of `database_url`; yields the URL of the same database through it."""
    assert PROGRAM, "pgbouncer is not installed: apt-get install pgbouncer"
    target = psycopg.conninfo.conninfo_to_dict(database_url)
    (listen_port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pgbouncer.ini")
        path.write_text(
            CONFIGURATION.format(
                host=target["host"],
                port=target.get("port") or 5432,
                user=target["user"],
                listen_port=listen_port,
            )
        )
        Path(folder).chmod(0o755)
        command = [PROGRAM, "--quiet"]
        if os.geteuid() == 0:  # it refuses to run as root; the socket's owner may use the socket
            command += ["--user", pwd.getpwuid(os.stat(str(target["host"])).st_uid).pw_name]
        process = subprocess.Popen([*command, str(path)])
        url = f"postgresql://{target['user']}@127.0.0.1:{listen_port}/{target['dbname']}"
        try:
            _wait_for(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            assert process.poll() is None, "pgbouncer has ended"
            assert time.monotonic() < deadline, "pgbouncer does not answer"
            time.sleep(0.1)


def main(command: list[str]) -> int:
    """Runs the command with DATABASE_URL through a PgBouncer; returns its exit status."""
    with pgbouncer(os.environ["DATABASE_URL"]) as url:
        return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
