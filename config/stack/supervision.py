"""Runs processes under ``supervisord`` and talks to it over its unix socket."""

from __future__ import annotations

import http.client
import os
import resource
import shlex
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.stack.errors import StackError
from config.stack.layout import CHECKOUT, Layout
from config.stack.memory import write_private

SERVERS, PROCESSES = "servers", "processes"
# Both together stay under the fifteen seconds that a stop may take.
STOP_SECONDS = {SERVERS: 6, PROCESSES: 7}
START_PRIORITY = {SERVERS: 10, PROCESSES: 20}  # supervisord stops the highest first
TETHER = Path(__file__).with_name("tether.py")
RPC_TIMEOUT_SECONDS = 30.0
HEADER = """\
[supervisord]
nodaemon=true
silent=true
umask=077
logfile={home}/logs/supervisord.log
logfile_maxbytes=2MB
logfile_backups=2
loglevel=info
pidfile={home}/supervisord.pid
childlogdir={home}/logs
identifier=agentplatform
minfds={minfds}
{user}
[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
PROGRAM = """
[program:{name}]
command={command}
directory={directory}
autostart=false
autorestart=true
startsecs=1
startretries=1000000
stopsignal={stop_signal}
stopwaitsecs={stop_seconds}
stopasgroup={as_group}
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""


@dataclass(frozen=True)
class Program:
    """What supervisord is told of one process. ``user`` is who it becomes after root has started it."""

    name: str
    group: str
    command: Sequence[str]
    stop_signal: str = "TERM"
    user: str | None = None

    @property
    def address(self) -> str:
        return f"{self.group}:{self.name}"


def tethered(command: Sequence[str], *options: str) -> list[str]:
    """``command`` made to end when the process that starts it ends."""
    return [sys.executable, "-I", "-S", str(TETHER), *options, "--", *command]


def escaped(text: str) -> str:
    """supervisord expands ``%(name)s``, so a per cent sign of ours is written twice."""
    return text.replace("%", "%%")


def configuration(layout: Layout, programs: Sequence[Program]) -> str:
    """The text of supervisord's configuration file for these programs, grouped so that groups stop one by one."""
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    parts = [
        HEADER.format(
            home=escaped(str(layout.home)),
            socket=escaped(str(socket_path(layout))),
            minfds=4096 if hard_limit == resource.RLIM_INFINITY else min(4096, hard_limit),
            user="user=root\n" if layout.as_root else "",
        )
    ]
    for program in programs:
        options = ["--signal", program.stop_signal] + (["--user", program.user] if program.user else [])
        parts.append(
            PROGRAM.format(
                name=program.name,
                command=escaped(shlex.join(tethered(program.command, *options))),
                directory=escaped("/" if program.user else str(CHECKOUT)),
                stop_signal=program.stop_signal,
                stop_seconds=STOP_SECONDS[program.group],
                as_group="true" if program.group == PROCESSES else "false",
                log=escaped(str(layout.log(program.name))),
            )
        )
    for group in (SERVERS, PROCESSES):
        if names := ",".join(program.name for program in programs if program.group == group):
            parts.append(f"\n[group:{group}]\nprograms={names}\npriority={START_PRIORITY[group]}\n")
    return "".join(parts)


def socket_path(layout: Layout) -> Path:
    return layout.control / "supervisor.sock"


class Supervisor:
    """One running ``supervisord``. Every call may be made from any thread; none keeps a connection open."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, programs: Sequence[Program], environment: Mapping[str, str]) -> None:
        """Start supervisord with everything stopped. The kernel ends it when the calling *thread* ends."""
        path = self.layout.home / "supervisord.conf"
        write_private(path, configuration(self.layout, programs))
        socket_path(self.layout).unlink(missing_ok=True)
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(path)]
        with open(self.layout.log("supervisord-output"), "wb") as output:
            self.process = subprocess.Popen(
                tethered(command, "--parent", str(os.getpid())),
                env=dict(environment),
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C at the terminal is for us to pass on, in order
            )
        deadline = time.monotonic() + 20
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise StackError(f"supervisord did not start; see {self.layout.log('supervisord-output')}")
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            return self.call("getState")["statename"] == "RUNNING"
        except (StackError, OSError):
            return False

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def call(self, method: str, *arguments: Any) -> Any:
        """One XML-RPC call of the ``supervisor`` namespace. Raises StackError when it is refused or fails."""
        transport = UnixTransport(str(socket_path(self.layout)))
        with xmlrpc.client.ServerProxy("http://supervisor", transport=transport) as proxy:
            try:
                return getattr(proxy.supervisor, method)(*arguments)
            except xmlrpc.client.Fault as fault:
                raise StackError(
                    f"supervisord, {method} {' '.join(map(str, arguments))}: {fault.faultString}"
                ) from None
            except (OSError, http.client.HTTPException) as error:
                raise StackError(f"supervisord does not answer ({error or type(error).__name__})") from error

    def stop(self) -> None:
        """End supervisord and, through it, all it runs: first the processes, then the servers."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(sum(STOP_SECONDS.values()) + 4)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        socket_path(self.layout).unlink(missing_ok=True)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=RPC_TIMEOUT_SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket, one connection a call."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return UnixConnection(self.path)
