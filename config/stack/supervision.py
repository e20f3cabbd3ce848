"""Runs processes under ``supervisord`` and talks to it over its unix socket."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import Faults

from config.stack.errors import StackError
from config.stack.layout import CHECKOUT, Layout
from config.stack.memory import write_private
from config.stack.programs import STOP_SECONDS, Program, configuration, tethered

RPC_TIMEOUT_SECONDS = 30.0


class SupervisorFault(StackError):
    """supervisord refused a call; ``code`` is one of ``supervisor.xmlrpc.Faults``."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Supervisor:
    """One running ``supervisord``. Every call may be made from any thread; none keeps a connection open."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, programs: Sequence[Program], environment: Mapping[str, str]) -> None:
        """Start supervisord with everything stopped. The kernel ends it when the calling *thread* ends."""
        self.end_predecessor()
        path = self.configuration_file
        write_private(path, configuration(self.layout, programs))
        self.layout.supervisor_socket.unlink(missing_ok=True)
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

    @property
    def configuration_file(self) -> Path:
        return self.layout.home / "supervisord.conf"

    def end_predecessor(self) -> None:
        """End a supervisord that outlived a killed launcher: two must never run servers on the same data.

        The caller holds the home's lock, so whoever started it is gone. Raises StackError when it will not end."""
        for process in psutil.process_iter(["cmdline"]):
            if str(self.configuration_file) in (process.info["cmdline"] or []):
                try:
                    process.terminate()
                    process.wait(sum(STOP_SECONDS.values()) + 4)
                except psutil.NoSuchProcess:
                    continue
                except psutil.Error as error:
                    raise StackError(
                        f"An earlier stack still ends (process {process.pid}): {error}"
                    ) from error

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
        transport = UnixTransport(str(self.layout.supervisor_socket))
        with xmlrpc.client.ServerProxy("http://supervisor", transport=transport) as proxy:
            try:
                return getattr(proxy.supervisor, method)(*arguments)
            except xmlrpc.client.Fault as fault:
                words = " ".join(map(str, arguments))
                raise SupervisorFault(
                    f"supervisord, {method} {words}: {fault.faultString}", fault.faultCode
                ) from None
            except (OSError, http.client.HTTPException) as error:
                raise StackError(f"supervisord does not answer ({error or type(error).__name__})") from error

    def start_program(self, address: str) -> None:
        """Start it, without waiting; one that runs already is left alone."""
        try:
            self.call("startProcess", address, False)
        except SupervisorFault as fault:
            if fault.code != Faults.ALREADY_STARTED:
                raise

    def stop_program(self, address: str) -> None:
        """Stop it and wait until it has ended; one that does not run is left alone."""
        try:
            self.call("stopProcess", address, True)
        except SupervisorFault as fault:
            if fault.code != Faults.NOT_RUNNING:
                raise

    def program(self, address: str) -> dict[str, Any]:
        """supervisord's description of one program: ``statename``, ``pid`` and more."""
        return dict(self.call("getProcessInfo", address))

    def programs(self) -> list[dict[str, Any]]:
        """The same of every program."""
        return list(self.call("getAllProcessInfo"))

    def stop(self) -> None:
        """End supervisord and, through it, all it runs: first the processes, then the servers."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            deadline = time.monotonic() + sum(STOP_SECONDS.values()) + 4
            while self.process.poll() is None and time.monotonic() < deadline:
                self._wake()
                time.sleep(0.05)
            self.process.kill()
            self.process.wait()
        self.process = None
        self.layout.supervisor_socket.unlink(missing_ok=True)

    def _wake(self) -> None:
        """Make supervisord look around now: it notices ended children once a second, or when somebody connects."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            connection.connect(str(self.layout.supervisor_socket))


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
