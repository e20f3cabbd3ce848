"""Running the simulator: one uvicorn process on one socket."""

import logging
import resource
import socket
import sys

import uvicorn

from agentplatform.simulator.app import create_app
from agentplatform.simulator.control import WHAT_IT_IS
from agentplatform.simulator.settings import SimulatorSettings

_BACKLOG = 4_096


def build_server(settings: SimulatorSettings) -> uvicorn.Server:
    """Return a uvicorn server for the simulator, to be run on a socket of the caller's."""
    logging.getLogger("uvicorn.error").addFilter(_is_not_a_scripted_cut)
    config = uvicorn.Config(
        create_app(settings),
        lifespan="off",
        access_log=False,
        log_level="warning",
        backlog=_BACKLOG,
        timeout_keep_alive=120,
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    return uvicorn.Server(config)


def open_socket(host: str, port: int) -> socket.socket:
    """Return a bound socket (port 0 takes a free one); raises OSError where the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def run_server(host: str, port: int, settings: SimulatorSettings) -> int:
    """Serve until a signal ends it; returns the exit status, 1 where the port is taken."""
    _raise_open_files_limit()
    try:
        listener = open_socket(host, port)
    except OSError as error:
        reason = error.strerror or str(error)
        sys.stderr.write(f"The simulator can't listen on {host}:{port} ({reason}). Set SIMULATOR_PORT.\n")
        return 1
    listener.listen(_BACKLOG)
    url = f"http://{host}:{listener.getsockname()[1]}"
    pace = f"seed {settings.seed}, latency scale {settings.latency_scale:g}"
    sys.stdout.write(f"agentplatform {WHAT_IT_IS}: {url} ({pace})\n")
    sys.stdout.flush()
    build_server(settings).run(sockets=[listener])
    return 0


def _raise_open_files_limit() -> None:
    """A thousand streams need more descriptors than many shells allow by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _is_not_a_scripted_cut(record: logging.LogRecord) -> bool:
    # A scripted cut leaves its response unfinished on purpose; uvicorn would log each as an error.
    return "without completing response" not in record.getMessage()
