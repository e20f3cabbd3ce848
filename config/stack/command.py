"""The command line: ``run``, ``serve``, ``servers``, ``exec``."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from config.stack.errors import StackError
from config.stack.layout import CHECKOUT
from config.stack.stack import SERVER_VARIABLES, Stack


class Stopped(BaseException):
    """A signal asked us to end; a BaseException so that nothing on the way mistakes it for a failure."""


def stop(number: int, frame: FrameType | None) -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(
            name, signal.SIG_IGN
        )  # from here on we are ending; a second Ctrl-C must not leave orphans
    raise Stopped


def home() -> Path:
    return Path(os.environ.get("AGENTPLATFORM_HOME") or CHECKOUT / ".agentplatform")


def wait_until_stopped(stack: Stack) -> None:
    """Returns never: ends by Stopped, or by StackError when supervisord itself has died."""
    while stack.supervisor.running:
        time.sleep(0.5)
    raise StackError(f"supervisord ended unexpectedly; see {stack.log_path('supervisord')}")


def servers(arguments: argparse.Namespace) -> int:
    """Start the servers alone and print how to reach them."""
    with Stack(home()) as stack:
        stack.start_servers()
        for variable in SERVER_VARIABLES.values():
            print(f"export {variable}={shlex.quote(stack.environment[variable])}")
        sys.stdout.flush()
        wait_until_stopped(stack)
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m config.stack")
    commands = top.add_subparsers(required=True, metavar="command")
    commands.add_parser("servers", help=servers.__doc__).set_defaults(run=servers)
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 2 for a mistake in what was asked, or 1."""
    arguments = parser().parse_args(words)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        return int(arguments.run(arguments))
    except Stopped:
        return 0
    except StackError as error:
        print(f"agentplatform: {error}", file=sys.stderr)
        return error.exit_code
