"""What a worker tells of its steps: task events for Flower, and what models say for those who stream a workflow."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from celery import current_task
from celery.utils.time import utcoffset

from agentplatform.execution.attempts import ClaimedStep, Outcome
from apps.workflows.accounting import accounts
from apps.workflows.hints import task_id
from apps.workflows.wake import wake

SEND_SECONDS = 0.25
MOST_WAITING = 10_000
MOST_IN_MESSAGE = 500

logger = logging.getLogger(__name__)


class StepReports:
    """Sends the Celery events of every step, in place of those of the task that carried a hint.

    Events are gathered and sent from a thread of their own, each with the time at which it happened: one message
    carries many, and no step waits for it. `event_dispatcher` returns the worker's own dispatcher, which is
    another one after every reconnection to the broker. Past MOST_WAITING the oldest are dropped: they only show.
    """

    def __init__(self, event_dispatcher: Callable[[], Any]) -> None:
        self._event_dispatcher = event_dispatcher
        self._chain = threading.local()
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MOST_WAITING)
        threading.Thread(target=self._run, name="task-events", daemon=True).start()

    def started(self, step: ClaimedStep) -> None:
        own_id = task_id(step.step_id, step.attempt)
        request = current_task.request
        is_hinted = request.id == own_id
        self._report(
            "task-received",
            uuid=own_id,
            name=step.label,
            root_id=str(step.workflow_id),
            parent_id=request.parent_id if is_hinted else self._chain.previous,
            args=f"({str(step.step_id)!r}, {step.attempt})",
            kwargs="{}",
            retries=0,
        )
        self._report("task-started", uuid=own_id)
        self._chain.previous = own_id

    def ended(self, step: ClaimedStep, outcome: Outcome, seconds: float) -> None:
        accounts.took(step, seconds)
        if outcome.failure is None:
            self._report(
                "task-succeeded", uuid=task_id(step.step_id, step.attempt), result="None", runtime=seconds
            )
        else:
            self._report(
                "task-failed",
                uuid=task_id(step.step_id, step.attempt),
                exception=outcome.failure.code,
                traceback=outcome.failure.traceback,
            )

    def text(self, step: ClaimedStep, delta: str) -> None:
        wake.text(str(step.workflow_id), step.key, delta)

    def restart_text(self, step: ClaimedStep) -> None:
        wake.restart_text(str(step.workflow_id), step.key)

    def _report(self, kind: str, **fields: Any) -> None:
        self._waiting.append({"type": kind, "timestamp": time.time(), **fields})

    def _run(self) -> None:
        while True:
            time.sleep(SEND_SECONDS)
            dispatcher = self._event_dispatcher()
            if dispatcher is None or not dispatcher.enabled or "task" not in (dispatcher.groups or {"task"}):
                self._waiting.clear()
                continue
            try:
                while self._waiting:
                    self._send(dispatcher, [self._waiting.popleft() for _ in range(self._batch_size())])
            except Exception as error:  # noqa: BLE001 - what fails here is a broker that is away
                logger.warning("task events are not sent (%s)", type(error).__name__)

    def _batch_size(self) -> int:
        return min(len(self._waiting), MOST_IN_MESSAGE)

    def _send(self, dispatcher: Any, events: list[dict[str, Any]]) -> None:
        """One message for many events, as the dispatcher's own `flush` makes it, without its cost for each."""
        common = {"hostname": dispatcher.hostname, "pid": dispatcher.pid, "utcoffset": utcoffset()}
        for event in events:
            event.update(common, clock=dispatcher.clock.forward())
        with dispatcher.mutex:
            dispatcher._publish(events, dispatcher.producer, "task.multi")
