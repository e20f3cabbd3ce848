"""What the steps of a worker process have used, counted in memory and told to the database once a second.

Admission counts what it admits by itself. The rest is known only here: steps that went on without admission, tokens
that were used in place of those estimated, and how long steps took. A worker that is killed takes at most a second
of it along.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import defaultdict
from dataclasses import asdict, dataclass

from agentplatform.execution.attempts import ClaimedStep
from agentplatform.workflows.definition import MINIMUM_STEP_TOKENS
from apps.database import OUTAGE_ERRORS, call_function, to_jsonb

TELL_SECONDS = 1.0
TELL_AT_ONCE = 20
"""After so many continued steps of one lane the database is told sooner: its tenant may come near a limit."""
SHORTEST_PAUSE_SECONDS = 0.1

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class LaneCounts:
    """What is still to be told of a lane."""

    continued: int = 0
    continued_tokens: int = 0
    correction_tokens: int = 0
    ended: int = 0
    seconds: float = 0.0


class StepAccounts:
    """Counts for the lanes (queue, tenant) of this process; safe to use from all its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: defaultdict[tuple[str, uuid.UUID], LaneCounts] = defaultdict(LaneCounts)
        self._at_once = threading.Event()

    def start(self) -> None:
        """From now on what is counted is told by itself, from a thread of its own."""
        threading.Thread(target=self._run, name="accounts", daemon=True).start()

    def continued(self, step: ClaimedStep) -> None:
        """A step was claimed with the finish of the one before it."""
        with self._lock:
            counts = self._counts[step.queue, step.tenant_id]
            counts.continued += 1
            counts.continued_tokens += _estimated_tokens(step)
            near = counts.continued >= TELL_AT_ONCE
        if near:
            self._at_once.set()

    def used(self, step: ClaimedStep, tokens: int) -> None:
        """An attempt has ended, and its model calls have used so many tokens. Coordination counts as a few."""
        correction = max(tokens, MINIMUM_STEP_TOKENS) - _estimated_tokens(step)
        with self._lock:
            counts = self._counts[step.queue, step.tenant_id]
            counts.ended += 1
            counts.correction_tokens += correction

    def took(self, step: ClaimedStep, seconds: float) -> None:
        """An attempt has held its slot for so long."""
        with self._lock:
            self._counts[step.queue, step.tenant_id].seconds += seconds

    def tell(self) -> None:
        """Tells the database now. What it does not take is told with the rest, later."""
        with self._lock:
            counts, self._counts = self._counts, defaultdict(LaneCounts)
        if not counts:
            return
        document = [
            {"queue": queue, "tenant": tenant, **asdict(lane)} for (queue, tenant), lane in counts.items()
        ]
        try:
            call_function("workflows_account", [to_jsonb(document)], ["jsonb"])
        except OUTAGE_ERRORS as error:
            logger.warning("what steps have used is told later (%s)", type(error).__name__)
            self._take_back(counts)

    def _take_back(self, counts: dict[tuple[str, uuid.UUID], LaneCounts]) -> None:
        with self._lock:
            for lane, untold in counts.items():
                later = self._counts[lane]
                self._counts[lane] = LaneCounts(
                    **{name: value + getattr(later, name) for name, value in asdict(untold).items()}
                )

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._at_once.wait(TELL_SECONDS)
            self._at_once.clear()
            self.tell()
            pause.wait(SHORTEST_PAUSE_SECONDS)


def _estimated_tokens(step: ClaimedStep) -> int:
    return step.definition.step(step.node).estimated_tokens


accounts = StepAccounts()
"""The counts of this process."""
