"""Which TCP ports a stack uses: those people open are fixed, those of the embedded Valkeys are found."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Mapping

from config.stack.errors import StackError, UsageError

LOOPBACK = "127.0.0.1"
# Below the range that kernels hand out to outgoing connections, so that a restarted server gets its port back.
FOUND_PORTS = range(20_000, 30_000)
PUBLIC_PORTS = {"PORT": 8000, "FLOWER_PORT": 5555, "SIMULATOR_PORT": 8088}


def public_ports(environment: Mapping[str, str]) -> dict[str, int]:
    """The ports by variable name. Raises UsageError for one that is no port number or given twice."""
    ports: dict[str, int] = {}
    for variable, default in PUBLIC_PORTS.items():
        text = environment.get(variable) or str(default)
        if not (text.isascii() and text.isdecimal()) or not 0 < int(text) < 65536:
            raise UsageError(f"{variable}={text} is not a port. Give a number from 1 to 65535.")
        for other, number in ports.items():
            if number == int(text):
                raise UsageError(f"{other} and {variable} are both {number}. Give each its own port.")
        ports[variable] = int(text)
    return ports


def require_free(variable: str, port: int) -> None:
    """Raises UsageError, naming port and variable, when nothing can listen on ``port``."""
    problem = why_not(port)
    if problem is None:
        return
    if problem == errno.EADDRINUSE:
        raise UsageError(
            f"Port {port} ({variable}) is already in use. "
            f"End the program that uses it, or choose another port: {variable}={port + 1}"
        )
    raise UsageError(
        f"Port {port} ({variable}) cannot be used ({errno.errorcode[problem]}). Choose another one."
    )


def why_not(port: int) -> int | None:
    """The error number that keeps us from listening on ``port``, or None when it is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            return error.errno
    return None


def free_port(preferred: int | None, taken: set[int]) -> int:
    """``preferred`` if it is free, else one chosen at random; never one of ``taken``."""
    if preferred is not None and preferred not in taken and why_not(preferred) is None:
        return preferred
    for _ in range(200):
        port = random.choice(FOUND_PORTS)
        if port not in taken and why_not(port) is None:
            return port
    raise StackError(f"No free port was found between {FOUND_PORTS.start} and {FOUND_PORTS.stop}.")
