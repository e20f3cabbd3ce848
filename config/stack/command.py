"""The command line: ``python -m config.stack run|serve|servers|exec|clean``."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from config.stack import serving
from config.stack.environment import SERVER_VARIABLES
from config.stack.errors import StackError
from config.stack.layout import CHECKOUT
from config.stack.programs import tethered
from config.stack.screen import Screen
from config.stack.stack import Stack

CHILD_END_SECONDS = 30


class Stopped(BaseException):
    """A signal asked us to end; a BaseException so that nothing on the way mistakes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def stop(number: int, frame: FrameType | None) -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # From here on everything is being ended: a second Ctrl-C must not leave half of it behind.
        signal.signal(name, signal.SIG_IGN)
    raise Stopped(number)


def home_folder() -> Path:
    return Path(os.environ.get("AGENTPLATFORM_HOME") or CHECKOUT / ".agentplatform")


def wait_until_stopped(stack: Stack) -> None:
    """Returns never: ends by Stopped, or by StackError when supervisord itself has died."""
    while stack.supervisor.running:
        time.sleep(0.5)
    raise StackError(f"supervisord ended unexpectedly; see {stack.log_path('supervisord')}")


def run(arguments: argparse.Namespace) -> int:
    """the whole product, with the project's documentation as samples"""
    return product(with_samples=True, once=arguments.once)


def serve(arguments: argparse.Namespace) -> int:
    """the whole product"""
    return product(with_samples=False, once=False)


def product(*, with_samples: bool, once: bool) -> int:
    """Start everything, show how to use it, serve until stopped; with ``once``, end after the samples."""
    screen = Screen()
    with Stack(home_folder(), say=screen.say) as stack:
        try:
            access = serving.start(stack, screen)
            succeeded = serving.run_samples(stack, screen, access) if with_samples else True
            if once:
                return 0 if succeeded else 1
            serving.show_addresses(stack, screen, access)
            wait_until_stopped(stack)
        finally:
            if stack.supervisor.running:
                screen.line("Stopping everything ...")
    return 0


def servers(arguments: argparse.Namespace) -> int:
    """only PostgreSQL and the two Valkeys; prints how to reach them"""
    with Stack(home_folder()) as stack:
        stack.start_servers()
        for variable in SERVER_VARIABLES.values():
            print(f"export {variable}={shlex.quote(stack.environment[variable])}")
        sys.stdout.flush()
        wait_until_stopped(stack)
    return 0


def execute(arguments: argparse.Namespace) -> int:
    """servers, then a command that finds them in its environment; exits as the command does"""
    if arguments.home:
        return execute_in(arguments.home, arguments.words)
    with tempfile.TemporaryDirectory(prefix="agentplatform-") as folder:
        home = Path(folder, "home")
        try:
            return execute_in(home, arguments.words)
        finally:
            Stack(home).erase()


def execute_in(home: Path, words: Sequence[str]) -> int:
    with Stack(home) as stack:
        stack.start_servers()
        child = subprocess.Popen(tethered(words, "--parent", str(os.getpid())), env=stack.environment)
        try:
            return child.wait()
        except Stopped as stopped:
            if stopped.number != signal.SIGINT:  # Ctrl-C has reached the child without us
                child.send_signal(stopped.number)
            try:
                child.wait(CHILD_END_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            raise


def clean(arguments: argparse.Namespace) -> int:
    """delete the data of the home"""
    Stack(home_folder()).erase()
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m config.stack")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, function in (
        ("run", run),
        ("serve", serve),
        ("servers", servers),
        ("exec", execute),
        ("clean", clean),
    ):
        command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        command.set_defaults(run=function)
        if name == "run":
            command.add_argument(
                "--once", action="store_true", help="stop after the samples; exit 0 if they succeeded"
            )
        if name == "exec":
            command.add_argument("--home", type=Path, help="keep the data here (default: a temporary folder)")
            command.add_argument("words", nargs="+", metavar="CMD", help="the command, after --")
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for a failure, 2 for a mistake in what was asked."""
    arguments = parser().parse_args(words)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        return int(arguments.run(arguments))
    except Stopped as stopped:
        # Being stopped is how serving ends; a command that was cut short has not done what it should.
        interrupted = arguments.run is execute or getattr(arguments, "once", False)
        return 128 + stopped.number if interrupted else 0
    except StackError as error:
        print(f"agentplatform: {error}", file=sys.stderr)
        return error.exit_code
