"""Runs a command that ends when its parent does: ``tether.py [--signal NAME] [--user NAME] [--parent PID] -- CMD…``.

Replaces itself with CMD, so the process id stays the same. On Linux the kernel sends the signal when the parent
ends for whatever reason, SIGKILL included (PR_SET_PDEATHSIG); elsewhere the parent has to end the command itself.
``--user`` gives up root first, because a change of user clears the kernel's note. Standard library only: it is run
with ``python -I -S`` and starts in a few hundredths of a second.
"""

import argparse
import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1


def become(user: str) -> None:
    """Give up root for good and become ``user``."""
    account = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


def follow_parent(signal_number: int, parent: "int | None") -> None:
    """Ask the kernel for ``signal_number`` when the parent ends; exit at once if it has already ended."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    ended = os.getppid() != parent if parent is not None else os.getppid() == 1
    if ended:
        sys.exit("the parent process has already ended")


def main() -> None:
    """Parse the command line, bind to the parent, become the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--signal", default="TERM")
    parser.add_argument("--user")
    parser.add_argument("--parent", type=int)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    if arguments.user:
        become(arguments.user)
    follow_parent(signal.Signals[f"SIG{arguments.signal}"].value, arguments.parent)
    os.execvp(arguments.command[0], arguments.command)


if __name__ == "__main__":
    main()
