"""Lets `manage.py` at a terminal find the stack that runs from the same home."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from config.stack.layout import CHECKOUT
from config.stack.memory import read_json, write_json

FILE = "running.json"
NAMES = (
    "DATABASE_URL",
    "BROKER_URL",
    "REDIS_URL",
    "DJANGO_SECRET_KEY",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "AGENTPLATFORM_SIMULATOR",
    "AGENTPLATFORM_EXTRA_APPS",
    "PYTHONPATH",
    "PORT",
    "FLOWER_PORT",
    "SIMULATOR_PORT",
)


def remember(home: Path, environment: Mapping[str, str]) -> None:
    """Write down, for its owner alone, where the stack of this home answers."""
    write_json(home / FILE, {name: environment[name] for name in NAMES if environment.get(name)})


def forget(home: Path) -> None:
    """The stack of this home has ended."""
    (home / FILE).unlink(missing_ok=True)


def adopt(environment: MutableMapping[str, str]) -> None:
    """Complete `environment` with that of the stack that runs from its home; what is set there already stays.

    With a DATABASE_URL of its own it is left alone: then it is meant for other servers."""
    if environment.get("DATABASE_URL"):
        return
    home = Path(environment.get("AGENTPLATFORM_HOME") or CHECKOUT / ".agentplatform")
    for name, value in read_json(home / FILE).items():
        if not environment.get(name):
            environment[name] = value


def adopt_into_process() -> None:
    """`adopt` for this process, which also imports from where the stack does."""
    adopt(os.environ)
    for folder in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if folder not in sys.path:
            sys.path.append(folder)
