"""The ``Stack``: one home, its embedded servers, its processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal as signals
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from config.stack import running
from config.stack.environment import SERVER_VARIABLES, children_environment, is_simulated
from config.stack.errors import StackError
from config.stack.layout import CHECKOUT, Layout
from config.stack.leftovers import remember_home, remove_leftovers
from config.stack.lock import HomeLock
from config.stack.management import last_lines, manage
from config.stack.memory import read_json, secrets_of, write_json
from config.stack.ports import LOOPBACK, free_port, public_ports, require_free
from config.stack.postgres import Postgres
from config.stack.procfile import read_procfile
from config.stack.programs import PROCESSES, SERVERS, Program
from config.stack.supervision import Supervisor
from config.stack.valkey import Valkey

PROCFILE = CHECKOUT / "Procfile"
SERVER_READY_SECONDS = 120.0  # recovery after a crash reads up to two gigabytes of log
CRASHING_SECONDS = 5.0
OWN_FOLDERS = ("logs", "static", "postgres.new")
OWN_FILES = (running.FILE, "secrets.json", "ports.json", "supervisord.*", "celerybeat-schedule*", "lock")

Server = Postgres | Valkey


def silent(message: str) -> None:
    """Says nothing; for callers who show no progress."""


class Stack:
    """Everything that one home runs. Use it as a context manager, or call ``close``.

    ``env`` is what the children inherit (default: this process's environment); ``DATABASE_URL``, ``BROKER_URL`` and
    ``REDIS_URL`` in it take the place of the embedded server. The three ports override PORT, FLOWER_PORT and
    SIMULATOR_PORT. Create it in a thread that outlives it: when that thread ends, so does the stack.
    Servers are addressed as ``postgres``, ``broker`` and ``cache``, processes by their name in the Procfile.
    """

    def __init__(
        self,
        home: Path,
        env: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
        flower_port: int | None = None,
        simulator_port: int | None = None,
        procfile: Path = PROCFILE,
        say: Callable[[str], None] = silent,
    ) -> None:
        given = dict(os.environ if env is None else env)
        overrides = {"PORT": port, "FLOWER_PORT": flower_port, "SIMULATOR_PORT": simulator_port}
        given |= {name: str(number) for name, number in overrides.items() if number is not None}
        self.say = say
        self.layout = Layout.of(home)
        self.ports = public_ports(given)
        self.processes = read_procfile(procfile) if procfile.exists() else []
        self.supervisor = Supervisor(self.layout)
        self.servers: dict[str, Server] = {}
        self.lock = HomeLock(self.layout.lock)
        self.simulated = is_simulated(given)
        self.given = given
        self.environment = dict(given)
        self.new_flower_password: str | None = None  # set by the start that generates it

    @property
    def home(self) -> Path:
        return self.layout.home

    @property
    def base_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['PORT']}"

    @property
    def process_names(self) -> list[str]:
        """The processes this stack runs: those of the Procfile, without the simulator when there is a real key."""
        return [process.name for process in self.processes if process.name != "simulator" or self.simulated]

    def start_servers(self) -> None:
        """Start what of Postgres and the two Valkeys is not given by a URL, and wait until all of it answers.

        Raises UsageError when another stack runs on this home, StackError when a server does not come up."""
        self.layout.create()
        self.lock.take()
        try:
            remember_home(self.layout)
            remove_leftovers()
            self._prepare_servers()
            self.supervisor.start(self._programs(), self.environment)
            self.start(self.servers)
            running.remember(self.home, self.environment)
        except BaseException:
            self.close()
            raise

    def require_free(self) -> None:
        """Raises UsageError when the home is in use or a public port occupied; nothing has been started then."""
        self.lock.require_free()
        for variable, port in self.ports.items():
            if variable != "SIMULATOR_PORT" or self.simulated:
                require_free(variable, port)

    def migrate(self) -> None:
        """Bring the database's schema up to date. Raises StackError with the end of the log."""
        self._manage("migrate", "--no-input")

    def bootstrap(self) -> dict[str, Any]:
        """Make the admin user and the demo tenant where missing; returns what the command says about them."""
        output = self._manage("bootstrap", "--json")
        try:
            return dict(json.loads(output.strip().splitlines()[-1]))
        except (ValueError, IndexError, TypeError):
            raise StackError(
                f"manage.py bootstrap said something else than JSON; see {self.log_path('bootstrap')}"
            ) from None

    def start(self, names: Iterable[str] | None = None) -> None:
        """Start these (default: every process); a server is waited for until it answers."""
        wanted = self.process_names if names is None else list(names)
        for name in wanted:
            self.supervisor.start_program(self._address(name))
        for name in wanted:
            if name in self.servers:
                self._wait_for_server(self.servers[name])

    def stop(self, name: str) -> None:
        """Stop it in good order and leave it stopped; returns when it has ended."""
        self.supervisor.stop_program(self._address(name))

    def restart(self, name: str) -> None:
        """Stop it, then start it."""
        self.stop(name)
        self.start([name])

    def state(self, name: str) -> str:
        """supervisord's word for it: RUNNING, STARTING, BACKOFF, STOPPING, STOPPED, EXITED, FATAL."""
        return str(self.supervisor.program(self._address(name))["statename"])

    def pid(self, name: str) -> int:
        """Its process id. Raises StackError when it does not run at this moment."""
        pid = int(self.supervisor.program(self._address(name))["pid"])
        if not pid:
            raise StackError(f"{name} is not running; see {self.log_path(name)}")
        return pid

    def process_ids(self) -> dict[str, int]:
        """The process id of everything that runs at this moment, servers included, by name."""
        return {info["name"]: info["pid"] for info in self.supervisor.programs() if info["pid"]}

    def kill(self, name: str, signal: int = signals.SIGKILL) -> int:
        """Send it a signal behind supervisord's back, as a crash would; returns the process id that got it."""
        pid = self.pid(name)
        os.kill(pid, signal)
        return pid

    def log_path(self, name: str) -> Path:
        return self.layout.log(name)

    def close(self) -> None:
        """End everything, processes before servers, within some fifteen seconds. May be called twice."""
        self.supervisor.stop()
        if self.lock.is_held:
            running.forget(self.home)
        self.lock.release()

    def erase(self) -> None:
        """Delete all data of this home. What the stack did not put there stays, and so does the folder then.

        Raises UsageError when a stack runs on it."""
        if not self.home.is_dir():
            return
        self.lock.take()
        self.supervisor.end_predecessor()
        folders = [self.home / name for name in (*OWN_FOLDERS, "broker", "cache")]
        for folder in [*folders, self.layout.postgres, self.layout.sockets, self.layout.control]:
            shutil.rmtree(folder, ignore_errors=True)
        for pattern in OWN_FILES:
            for path in self.home.glob(pattern):
                path.unlink(missing_ok=True)
        if self.layout.as_root:
            shutil.rmtree(self.layout.control.parent, ignore_errors=True)
        with contextlib.suppress(OSError):  # somebody else's files are in it
            self.home.rmdir()
        self.lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _prepare_servers(self) -> None:
        known, generated = secrets_of(self.home)
        if "flower_password" in generated and not self.given.get("FLOWER_BASIC_AUTH"):
            self.new_flower_password = known["flower_password"]
        remembered = read_json(self.home / "ports.json")
        taken = set(self.ports.values())
        for name, variable in SERVER_VARIABLES.items():
            if self.given.get(variable):
                continue
            if name == "postgres":
                self.servers[name] = Postgres(self.layout)
            else:
                remembered[name] = free_port(remembered.get(name), taken)
                taken.add(remembered[name])
                self.servers[name] = Valkey(name, self.layout, remembered[name], known[f"{name}_password"])
        write_json(self.home / "ports.json", remembered)
        self.environment = children_environment(
            self.given,
            home=self.home,
            ports=self.ports,
            secrets=known,
            server_urls={SERVER_VARIABLES[name]: server.url for name, server in self.servers.items()},
            embedder_socket=self.layout.embedder_socket,
        )
        for server in self.servers.values():
            server.prepare(self.say)

    def _programs(self) -> list[Program]:
        programs = [
            Program(server.name, SERVERS, server.command, server.stop_signal, server.user)
            for server in self.servers.values()
        ]
        wanted = set(self.process_names)
        return programs + [
            Program(process.name, PROCESSES, process.expanded(self.environment))
            for process in self.processes
            if process.name in wanted
        ]

    def _manage(self, *words: str) -> str:
        return manage(list(words), self.environment, self.log_path(words[0]))

    def _address(self, name: str) -> str:
        if name in self.servers:
            return f"{SERVERS}:{name}"
        if name in self.process_names:
            return f"{PROCESSES}:{name}"
        raise StackError(
            f"There is no process {name} here; known: {', '.join([*self.servers, *self.process_names])}"
        )

    def _wait_for_server(self, server: Server) -> None:
        started_at = time.monotonic()
        while not server.ready():
            waited = time.monotonic() - started_at
            given_up = waited > CRASHING_SECONDS and self.state(server.name) in ("BACKOFF", "EXITED", "FATAL")
            if given_up or waited > SERVER_READY_SECONDS or not self.supervisor.running:
                log = self.log_path(server.name)
                raise StackError(f"{server.name} did not start; {log} ends with:\n{last_lines(log)}")
            time.sleep(0.05)
