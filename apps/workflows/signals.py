"""Signals to runs, and answers to steps that wait for somebody's approval."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from apps.database import call_function, to_jsonb
from apps.workflows.models import Signal, Step
from apps.workflows.services import AlreadyFinished
from apps.workflows.wake import wake

MAX_NAME_CHARACTERS = 130
MAX_PAYLOAD_BYTES = 65_536
MAX_KEPT = 1_000
"""How many signals that no step has taken yet a run keeps."""


class TooManySignals(ValueError):
    """As many signals wait for their steps as a run keeps."""


class NotWaiting(ValueError):
    """The step does not wait for approval."""


class AlreadyAnswered(ValueError):
    """Somebody else has answered first; `answer` is what counts."""

    def __init__(self, answer: Signal) -> None:
        verdict = "approved" if answer.payload["approved"] else "rejected"
        super().__init__(f"the step was {verdict} by {answer.sender} already; the first answer counts")
        self.answer = answer


def signal_send(workflow_id: uuid.UUID, *, name: str, payload: Any, sender: str) -> None:
    """Sends a signal to a run; where no step waits for it yet, it is kept for the first that does.

    Raises AlreadyFinished and TooManySignals.
    """
    match _send(workflow_id, Signal.Kind.SIGNAL, name, payload, sender):
        case "ended":
            raise AlreadyFinished("the workflow has ended already; nothing takes a signal any more")
        case "full":
            raise TooManySignals(
                f"{MAX_KEPT:,} signals wait for steps that take them; send no more until some are"
            )


def step_answer(workflow_id: uuid.UUID, *, key: str, approved: bool, comment: str, sender: str) -> None:
    """Approves or rejects the step `key`, which waits for it; the first answer wins.

    Raises AlreadyAnswered, NotWaiting, and AlreadyFinished.
    """
    payload = {"approved": approved, "comment": comment}
    match _send(workflow_id, Signal.Kind.APPROVAL, key, payload, sender):
        case "ended":
            raise AlreadyFinished("the workflow has ended already; nothing waits for approval")
        case "answered":
            raise AlreadyAnswered(
                Signal.objects.get(workflow=workflow_id, kind=Signal.Kind.APPROVAL, name=key)
            )
        case "not_waiting":
            raise NotWaiting("the step does not wait for approval")


def answers_withdraw(workflow_id: uuid.UUID, nodes: Collection[str]) -> int:
    """Takes back what was answered to steps of these nodes, that are to ask anew; returns how many answers.

    The caller holds the lock on the run.
    """
    keys = [
        step.key for step in Step.objects.filter(workflow=workflow_id, node__in=nodes).only("node", "index")
    ]
    answers = Signal.objects.filter(workflow=workflow_id, kind=Signal.Kind.APPROVAL, name__in=keys)
    return answers.delete()[0]


def _send(workflow_id: uuid.UUID, kind: Signal.Kind, name: str, payload: Any, sender: str) -> str:
    arguments = [workflow_id, kind.value, name, to_jsonb(payload), sender[:200]]
    ((outcome,),) = call_function(
        "workflows_send_signal", arguments, ["uuid", "text", "text", "jsonb", "text"]
    )
    if outcome == "sent":
        wake.events(str(workflow_id))
        wake.dispatcher()
    return str(outcome)
