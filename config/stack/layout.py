"""Where everything of one stack lies: its home, its private folders, the sockets in a short path."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from config.stack.errors import StackError

CHECKOUT = Path(__file__).resolve().parents[2]
SYSTEM_ROOT = Path("/var/lib/agentplatform")
SOCKET_PATH_LIMIT = 100  # 107 bytes on Linux, 103 on macOS, and the file's own name still has to be added
LONGEST_SOCKET_NAME = len("/.s.PGSQL.5432.lock")


@dataclass(frozen=True)
class Layout:
    """The folders of the stack whose home is ``home``; ``of`` computes them, ``create`` makes them."""

    home: Path
    postgres: Path
    sockets: Path
    control: Path
    as_root: bool

    @classmethod
    def of(cls, home: Path) -> Layout:
        """Started as root, Postgres' own folders lie under /var/lib: it cannot run as root, nor pass through /root."""
        home = home.expanduser().resolve()
        name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        if os.geteuid() == 0:
            own = SYSTEM_ROOT / name
            return cls(home, own / "postgres", own / "sockets", own / "control", as_root=True)
        short = short_folder(name)
        return cls(home, home / "postgres", short, short, as_root=False)

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def lock(self) -> Path:
        return self.home / "lock"

    @property
    def supervisor_socket(self) -> Path:
        return self.control / "supervisor.sock"

    @property
    def embedder_socket(self) -> Path:
        return self.control / "embedder.sock"

    def log(self, name: str) -> Path:
        """The log file of the process or server called ``name``."""
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Make the folders, readable by their owner alone; an existing home keeps the mode it has.

        Raises StackError when the home cannot be written or a temporary folder belongs to somebody else."""
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            (self.home / "static").mkdir(
                mode=0o700, exist_ok=True
            )  # Django's STATIC_ROOT warns when it is missing
            if self.as_root:
                for folder in (SYSTEM_ROOT, self.control.parent):
                    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            private_folder(self.control)
        except OSError as error:
            raise StackError(
                f"{error.filename} cannot be created ({error.strerror}). "
                "Set AGENTPLATFORM_HOME to a folder that you may write to."
            ) from error


def short_folder(name: str) -> Path:
    """A per-user folder for sockets whose path is short enough for the operating system's limit."""
    candidates = [Path(tempfile.gettempdir()), Path("/tmp")]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        candidates.insert(0, Path(runtime))
    for parent in candidates:
        folder = parent / f"agentplatform-{os.geteuid()}-{name}"
        if len(os.fsencode(folder)) + LONGEST_SOCKET_NAME <= SOCKET_PATH_LIMIT and os.access(parent, os.W_OK):
            return folder
    raise StackError("No temporary folder has a path short enough for a socket. Set TMPDIR to a shorter one.")


def private_folder(folder: Path) -> None:
    """Make ``folder`` for this user alone; a folder that somebody else put there is refused, not repaired."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StackError(
            f"{folder} exists but is not private to this user. Remove it, or set TMPDIR elsewhere."
        )
