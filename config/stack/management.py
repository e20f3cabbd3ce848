"""Runs ``manage.py`` commands as processes, because the launcher itself has no Django."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from config.stack.errors import StackError
from config.stack.layout import CHECKOUT
from config.stack.programs import tethered

TIMEOUT_SECONDS = 600


def manage(words: list[str], environment: Mapping[str, str], log: Path) -> str:
    """Run ``manage.py WORDS`` and return its standard output; what it writes to standard error goes to ``log``.

    Raises StackError, with the last lines of the log, when it fails or takes ten minutes."""
    command = tethered([sys.executable, "manage.py", *words], "--parent", str(os.getpid()))
    with open(log, "w") as errors:
        try:
            done = subprocess.run(
                command,
                env=dict(environment),
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                check=False,
                timeout=TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise StackError(f"manage.py {words[0]} did not end within {TIMEOUT_SECONDS} seconds") from None
    if done.returncode:
        raise StackError(f"manage.py {words[0]} failed; {log} ends with:\n{last_lines(log)}")
    return done.stdout


def last_lines(path: Path, count: int = 15) -> str:
    """The end of a log, indented for the screen; a sentence when there is nothing in it."""
    try:
        lines = path.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        lines = []
    return "\n".join(f"    {line}" for line in lines) or "    (the log is empty)"
