"""What is shown of workflows at a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from apps.api.progress import WorkflowView, board, show_outcome


def view(result: dict[str, Any], *steps: dict[str, Any]) -> WorkflowView:
    """A workflow that has ended with this result."""
    return WorkflowView({"status": "succeeded", "steps": list(steps), "result": result})


def shown(result: dict[str, Any]) -> str:
    """What is printed of it."""
    console = Console(file=io.StringIO(), width=120)
    show_outcome(console, view(result))
    return console.file.getvalue()


def test_steps_that_wait_for_approval_are_known_by_their_keys() -> None:
    """Those that wait for anything else are not among them."""
    steps = (
        {"key": "ask", "waiting_for": "approval"},
        {"key": "pause", "waiting_for": "timer"},
        {"key": "end"},
    )
    assert view({}, *steps).waiting_for_approval == ["ask"]


APPROVAL = {"approved": True, "by": "key ap_1", "comment": "Well seen.", "expired": False}


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"reply": "At nine."}, "At nine."),
        (
            {"summary": "Good.", "recommendation": "accept", "approval": APPROVAL},
            "recommends: accept; approved by key ap_1: Well seen.",
        ),
        (
            {
                "summary": "Good.",
                "recommendation": "revise",
                "approval": {**APPROVAL, "approved": False, "by": "", "comment": ""},
            },
            "recommends: revise; rejected by nobody",
        ),
        ({"report": "It is so.", "critique": {"score": 6, "revised": True}}, "critique: 6 of 10, revised"),
        ({"report": "So.", "critique": {"score": 9, "revised": False}}, "critique: 9 of 10, not revised"),
        ({"verdict": "allow"}, '"verdict": "allow"'),
    ],
)
def test_the_outcome_says_what_there_is_to_read_and_what_was_made_of_it(
    result: dict[str, Any], told: str
) -> None:
    """In a line of its own."""
    assert told in shown(result)


def test_what_happens_to_a_workflow_is_said_beside_its_states() -> None:
    """As a line with its title, away from a terminal."""
    console = Console(file=io.StringIO(), width=120)
    with board(console, ["Review"]) as watched:
        watched.tell(0, "step approve: approved")
    assert console.file.getvalue() == "  Review  step approve: approved\n"
