"""Environments of their own for the programs that the product is measured beside."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from config.stack.layout import CHECKOUT


def prepare(environment: str, requirements: Path) -> tuple[Path, str]:
    """Makes the environment unless it is there as required; returns its bin folder and, if that failed, why."""
    home = CHECKOUT / environment
    stamp = home / requirements.name
    if stamp.exists() and stamp.read_text() == requirements.read_text():
        return home / "bin", ""
    shutil.rmtree(home, ignore_errors=True)
    pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(home)], [*pip, "-r", str(requirements)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            why = (done.stderr or done.stdout)[-1000:]
            sys.stderr.write(f"{requirements.name} cannot be installed.\n{why}\n")
            return home / "bin", why
    shutil.copy(requirements, stamp)
    return home / "bin", ""
