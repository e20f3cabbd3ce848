"""What supervisord is told: the programs of a stack as the text of its configuration file."""

from __future__ import annotations

import resource
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config.stack.layout import CHECKOUT, Layout

SERVERS, PROCESSES = "servers", "processes"
# Both together stay under the fifteen seconds that a stop may take.
STOP_SECONDS = {SERVERS: 6, PROCESSES: 7}
START_PRIORITY = {SERVERS: 10, PROCESSES: 20}  # supervisord stops the highest first
TETHER = Path(__file__).with_name("tether.py")
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
            socket=escaped(str(layout.supervisor_socket)),
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
