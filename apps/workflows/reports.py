"""Task events for steps that were continued without a hint, so that Flower shows each as a task of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from celery import current_task

from agentplatform.execution.executor import ClaimedStep, Outcome


class TaskEventReports:
    """Sends the Celery events of continued steps. The step of the hint itself has those of its own task.

    `event_dispatcher` returns the worker's own, which gathers events and sends them in one message; it is
    another one after every reconnection to the broker.
    """

    def __init__(self, event_dispatcher: Callable[[], Any]) -> None:
        self._event_dispatcher = event_dispatcher
        self._chain = threading.local()

    def started(self, step: ClaimedStep) -> None:
        task_id = _task_id(step)
        if task_id != _hinted_task_id():
            self._send(
                "task-received",
                uuid=task_id,
                name=step.label,
                root_id=str(step.workflow_id),
                parent_id=self._chain.previous,
                args="()",
                kwargs="{}",
                retries=0,
            )
            self._send("task-started", uuid=task_id)
        self._chain.previous = task_id

    def ended(self, step: ClaimedStep, outcome: Outcome, seconds: float) -> None:
        task_id = _task_id(step)
        if task_id == _hinted_task_id():
            return
        if outcome.failure is None:
            self._send("task-succeeded", uuid=task_id, result="None", runtime=seconds)
        else:
            self._send("task-failed", uuid=task_id, exception=outcome.failure.code, traceback="")

    def _send(self, kind: str, **fields: Any) -> None:
        dispatcher = self._event_dispatcher()
        if dispatcher is not None and dispatcher.enabled:
            dispatcher.send(kind, **fields)


def _task_id(step: ClaimedStep) -> str:
    return f"{step.step_id}:{step.attempt}"


def _hinted_task_id() -> str | None:
    return current_task.request.id if current_task else None
