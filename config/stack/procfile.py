"""Reads the Procfile, the single description of the product's processes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from config.stack.errors import StackError

LINE = re.compile(r"^(?P<name>[a-z][a-z0-9-]*):\s*(?P<command>\S.*)$")


@dataclass(frozen=True)
class Process:
    """One line of the Procfile: a name and the words of its command, variables still unexpanded."""

    name: str
    words: tuple[str, ...]

    def expanded(self, environment: Mapping[str, str]) -> list[str]:
        """The command with ``$NAME`` and ``${NAME}`` replaced, word by word, so that a space in a value is safe.

        Raises StackError for a variable that is not set."""
        try:
            return [Template(word).substitute(environment) for word in self.words]
        except (KeyError, ValueError) as error:
            raise StackError(f"Procfile, process {self.name}: no value for {error}") from None


def read_procfile(path: Path) -> list[Process]:
    """The processes in the order of the file. Raises StackError for a line that is none, or a repeated name."""
    processes: list[Process] = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.match(line)
        if match is None:
            raise StackError(f"{path}, line {number}: expected 'name: command'")
        if any(known.name == match["name"] for known in processes):
            raise StackError(f"{path}, line {number}: the name {match['name']} is used twice")
        processes.append(Process(match["name"], tuple(shlex.split(match["command"]))))
    return processes
