"""The ``Stack``: one home, its embedded servers, its processes."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal as signals
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from config.stack.errors import StackError, UsageError
from config.stack.layout import CHECKOUT, Layout
from config.stack.memory import read_json, secrets_of, write_json
from config.stack.ports import LOOPBACK, free_port, public_ports, require_free
from config.stack.postgres import Postgres
from config.stack.procfile import read_procfile
from config.stack.supervision import PROCESSES, SERVERS, Program, Supervisor
from config.stack.valkey import Valkey

PROCFILE = CHECKOUT / "Procfile"
SERVER_VARIABLES = {"postgres": "DATABASE_URL", "broker": "BROKER_URL", "cache": "REDIS_URL"}
SERVER_READY_SECONDS = 60.0

Server = Postgres | Valkey


def silent(message: str) -> None:
    """Says nothing; for callers who show no progress."""


class Stack:
    """Everything that one home runs. Use it as a context manager, or call ``close``.

    ``env`` is what the children inherit (default: this process's environment); ``DATABASE_URL``, ``BROKER_URL`` and
    ``REDIS_URL`` in it take the place of the embedded server. ``ports`` overrides PORT, FLOWER_PORT and
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
        self.environment = given
        self._lock: int | None = None

    @property
    def home(self) -> Path:
        return self.layout.home

    @property
    def base_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['PORT']}"

    @property
    def simulated(self) -> bool:
        """Whether answers come from the local simulator, because there was no ANTHROPIC_API_KEY."""
        return self.environment.get("AGENTPLATFORM_SIMULATOR") == "1"

    @property
    def process_names(self) -> list[str]:
        """The processes this stack runs: those of the Procfile, without the simulator when there is a real key."""
        return [process.name for process in self.processes if process.name != "simulator" or self.simulated]

    def start_servers(self) -> None:
        """Start what of Postgres and the two Valkeys is not given by a URL, and wait until all of it answers.

        Raises UsageError when another stack runs on this home, StackError when a server does not come up."""
        self.layout.create()
        self._take_lock()
        try:
            self._prepare_servers()
            self.supervisor.start(self._programs(), self.environment)
            self.start(self.servers)
        except BaseException:
            self.close()
            raise

    def require_free_ports(self) -> None:
        """Raises UsageError for the first public port that is occupied; nothing has been started then."""
        for variable, port in self.ports.items():
            if variable != "SIMULATOR_PORT" or not self.environment.get("ANTHROPIC_API_KEY"):
                require_free(variable, port)

    def start(self, names: Iterable[str] | None = None) -> None:
        """Start these (default: every process); a server is waited for until it answers."""
        wanted = self.process_names if names is None else list(names)
        for name in wanted:
            self.supervisor.call("startProcess", self._address(name), False)
        for name in wanted:
            if name in self.servers:
                self._wait_for_server(self.servers[name])

    def stop(self, name: str) -> None:
        """Stop it in good order and leave it stopped; returns when it has ended."""
        self.supervisor.call("stopProcess", self._address(name), True)

    def restart(self, name: str) -> None:
        """Stop it, then start it."""
        self.stop(name)
        self.start([name])

    def state(self, name: str) -> str:
        """supervisord's word for it: RUNNING, STARTING, BACKOFF, STOPPING, STOPPED, EXITED, FATAL."""
        return str(self.supervisor.call("getProcessInfo", self._address(name))["statename"])

    def pid(self, name: str) -> int:
        """Its process id. Raises StackError when it does not run at this moment."""
        pid = int(self.supervisor.call("getProcessInfo", self._address(name))["pid"])
        if not pid:
            raise StackError(f"{name} is not running; see {self.log_path(name)}")
        return pid

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
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def erase(self) -> None:
        """Delete the home with all its data; the stack must have been closed."""
        self._take_lock()
        for folder in {self.home, self.layout.postgres, self.layout.sockets, self.layout.control}:
            shutil.rmtree(folder, ignore_errors=True)
        if self.layout.as_root:
            shutil.rmtree(self.layout.control.parent, ignore_errors=True)
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _take_lock(self) -> None:
        lock = os.open(self.layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(lock, 20).decode().strip()
            os.close(lock)
            raise UsageError(
                f"A stack is already running from {self.home} (process {holder or 'unknown'}). "
                "Stop it with Ctrl-C, or set AGENTPLATFORM_HOME to another folder."
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock

    def _prepare_servers(self) -> None:
        known = secrets_of(self.home)
        remembered = read_json(self.home / "ports.json")
        taken = set(self.ports.values())
        for name, variable in SERVER_VARIABLES.items():
            if self.environment.get(variable):
                continue
            if name == "postgres":
                self.servers[name] = Postgres(self.layout)
            else:
                remembered[name] = free_port(remembered.get(name), taken)
                taken.add(remembered[name])
                self.servers[name] = Valkey(name, self.layout, remembered[name], known[f"{name}_password"])
        write_json(self.home / "ports.json", remembered)
        self.environment = self._children_environment(known)
        for server in self.servers.values():
            server.prepare(self.say)

    def _children_environment(self, known: Mapping[str, str]) -> dict[str, str]:
        given = self.environment
        binaries = str(Path(sys.executable).parent)
        environment = {
            "DJANGO_SECRET_KEY": known["django_secret_key"],
            "FLOWER_BASIC_AUTH": f"operator:{known['flower_password']}",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            **{
                variable: server.url
                for name, server in self.servers.items()
                if (variable := SERVER_VARIABLES[name])
            },
            **{key: value for key, value in given.items() if value or key not in SERVER_VARIABLES.values()},
            **{variable: str(port) for variable, port in self.ports.items()},
            "AGENTPLATFORM_HOME": str(self.home),
            "PATH": os.pathsep.join([binaries, given.get("PATH", os.defpath)]),
            "PYTHONUNBUFFERED": "1",
        }
        if not given.get("ANTHROPIC_API_KEY"):
            environment |= {
                "AGENTPLATFORM_SIMULATOR": "1",
                "ANTHROPIC_API_KEY": "simulator",
                "ANTHROPIC_BASE_URL": f"http://{LOOPBACK}:{self.ports['SIMULATOR_PORT']}",
            }
        return environment

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

    def _address(self, name: str) -> str:
        if name in self.servers:
            return f"{SERVERS}:{name}"
        if name in self.process_names:
            return f"{PROCESSES}:{name}"
        raise StackError(
            f"There is no process {name} here; known: {', '.join([*self.servers, *self.process_names])}"
        )

    def _wait_for_server(self, server: Server) -> None:
        deadline = time.monotonic() + SERVER_READY_SECONDS
        while not server.ready():
            if time.monotonic() > deadline or not self.supervisor.running:
                raise StackError(f"{server.name} did not start; see {self.log_path(server.name)}")
            time.sleep(0.05)
