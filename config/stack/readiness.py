"""Waits until the started processes serve: /readyz answers 200 and names nothing degraded."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from config.stack.api import LOCAL
from config.stack.errors import StackError
from config.stack.management import last_lines
from config.stack.stack import Stack

TIMEOUT_SECONDS = 180.0
POLL_SECONDS = 0.25
CRASHES_TOLERATED = 4


@dataclass
class Observation:
    """What the latest look at the stack showed; ``process_ids`` collects every process id ever seen by name."""

    status: int = 0
    degraded: list[str] = field(default_factory=list)
    process_ids: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    @property
    def ready(self) -> bool:
        return self.status == 200 and not self.degraded

    def crashing(self) -> str | None:
        """A process that ended again and again since the start."""
        return next((name for name, ids in self.process_ids.items() if len(ids) > CRASHES_TOLERATED), None)

    def missing(self) -> str:
        """In words, what is still awaited."""
        if self.status == 0:
            return "the web process"
        return "; ".join(self.degraded) or f"a good answer from /readyz (it says {self.status})"


def wait_until_ready(
    stack: Stack, say: Callable[[str], None], timeout_seconds: float = TIMEOUT_SECONDS
) -> None:
    """Returns when everything serves. Raises StackError, naming the log to read and its end, when it does not."""
    seen = Observation()
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        look(stack, seen)
        if seen.ready:
            return
        if name := seen.crashing():
            raise StackError(
                f"{name} keeps ending; {stack.log_path(name)} ends with:\n{last_lines(stack.log_path(name))}"
            )
        say(f"waiting for {seen.missing()}")
        time.sleep(POLL_SECONDS)
    log = stack.log_path(suspect(seen, stack.process_names))
    raise StackError(
        f"Not ready after {timeout_seconds:.0f} seconds, still waiting for {seen.missing()}; "
        f"{log} ends with:\n{last_lines(log)}"
    )


def suspect(seen: Observation, names: list[str]) -> str:
    """The process whose log most likely says what is wrong: one that /readyz names, else the web process."""
    said = " ".join(seen.degraded)
    return next((name for name in names if name in said), "web")


def look(stack: Stack, seen: Observation) -> None:
    """Update ``seen`` with the processes' ids and the answer of /readyz."""
    for name, pid in stack.process_ids().items():
        seen.process_ids[name].add(pid)
    seen.status, seen.degraded = readyz(stack.base_url)


def readyz(base_url: str) -> tuple[int, list[str]]:
    """The status of /readyz (0 when nothing answers) and what it says is degraded, a sentence each."""
    request = urllib.request.Request(f"{base_url}/readyz", headers={"Accept": "application/json"})
    try:
        with LOCAL.open(request, timeout=5) as response:
            return response.status, json.load(response)["degraded"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, []
    except (OSError, ValueError, KeyError):
        return 0, []
