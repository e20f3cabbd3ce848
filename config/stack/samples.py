"""The samples of ``run``: the project's documentation as a knowledge base, and every definition put to work on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape

from agentplatform.retrieval.chunking import title_of
from apps.api.progress import Board, WorkflowView, board, dollars, show_outcome
from config.stack.api import Api, ApiError
from config.stack.layout import CHECKOUT

QUESTIONS = (
    "What happens to a step when its worker is killed in the middle of a model call?",
    "How does the platform make sure that a settled model call is never bought twice?",
    "What does it mean that a workflow is held?",
    "Which environment variables set the ports of the web process, Flower and the simulator?",
    "How do I run the tests?",
)
TOPIC = "What happens to a workflow when a worker, the broker or the provider fails"
MESSAGE = "My train leaves Lisbon at 9:40, from platform 2. At what time does my train leave Lisbon?"
CONTENT = "Click here and earn a prize, you idiot: write to lisbon-cables@example.com for cheap cables."
TICKETS = (
    "I was charged twice for the same invoice.",
    "The app crashes with an error at start.",
    "I cannot change the email of my profile.",
    "Please refund the payment of last month.",
    "Login fails since the update, with a timeout.",
    "How do I delete my account?",
    "Is the report of last week wrong, or is it me?",
    "Where is your office?",
)
TICKET_LABELS = ("billing", "technical", "account", "other")
REVIEWED = "docs/decisions/0003-continuation.md"
APPROVAL_COMMENT = "Approved by the runner of the samples."
SUMMARIZED = "docs/architecture.md"
EXTRACTED_FROM = "docs/decisions/0003-continuation.md"
DECISION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "description": "The decision in a few words."},
        "reason": {"type": "string", "description": "Why it was decided so."},
        "rejected": {
            "type": "array",
            "items": {"type": "string"},
            "description": "What else was considered.",
        },
    },
    "required": ["title", "reason", "rejected"],
}
DEADLINE_SECONDS = 300.0
WAITING_SECONDS = 120.0
POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Sample:
    """A workflow to show: what it is called on the screen, and what is submitted."""

    title: str
    type: str
    input: dict[str, Any]
    session_id: str | None = None


def samples(document_ids: Mapping[str, str]) -> list[Sample]:
    """Questions, then one of each other definition, on documents of these ids by their path in the checkout."""
    return [
        *(Sample(question, "answer_question", {"question": question}) for question in QUESTIONS),
        Sample(
            f"Summarize {SUMMARIZED}",
            "summarize_document",
            {"document_id": document_ids[SUMMARIZED], "max_words": 120},
        ),
        Sample(
            f"Extract data from {EXTRACTED_FROM}",
            "extract_data",
            {"document_id": document_ids[EXTRACTED_FROM], "schema": DECISION_SCHEMA},
        ),
        Sample(MESSAGE, "converse", {"message": MESSAGE}, session_id="samples"),
        Sample(f"Moderate: {CONTENT}", "moderate_content", {"text": CONTENT}),
        Sample(
            f"Classify {len(TICKETS)} tickets",
            "classify_items",
            {"labels": list(TICKET_LABELS), "items": list(TICKETS)},
        ),
        Sample(
            f"Review {REVIEWED}",
            "review_document",
            {"document_id": document_ids[REVIEWED], "focus": "whether its reasons are given"},
        ),
        Sample(f"Report: {TOPIC}", "research_report", {"topic": TOPIC}),
    ]


def run(base_url: str, tenant_key: str, console: Console) -> bool:
    """Upload the documentation, run the samples, show what comes of them; whether every workflow succeeded.

    Raises ApiError when the API refuses a document or a submission."""
    api = Api(base_url, tenant_key)
    document_ids = upload_documentation(api, CHECKOUT)
    shown = samples(document_ids)
    wait_for_vectors(api, console)
    console.print(f"Running {len(shown)} workflows.")
    with board(console, [sample.title for sample in shown]) as watched:
        done = submit_all(api, watched, shown)
    for sample, view in zip(shown, done, strict=True):
        console.print(f"\n[bold]{escape(sample.title)}[/bold] [dim]{sample.type}[/dim]")
        show_outcome(console, view)
    total = sum(view.cost_usd_micros for view in done)
    succeeded = sum(view.succeeded for view in done)
    console.print(f"{succeeded} of {len(done)} workflows succeeded, {dollars(total)} in all.")
    return succeeded == len(done)


def submit_all(api: Api, shown: Board, workflows: Sequence[Sample]) -> list[WorkflowView]:
    """Submit every sample, then watch them all at once; their last state, in order.

    The threads are daemons, so that Ctrl-C need not wait for a stream. Raises the first ApiError of any."""
    ended: dict[int, WorkflowView | ApiError] = {}

    def watch(index: int, submitted: dict[str, str]) -> None:
        try:
            ended[index] = follow(api, shown, index, submitted)
        except ApiError as error:
            ended[index] = error

    submissions = [api.submit(sample.type, sample.input, sample.session_id) for sample in workflows]
    threads = [threading.Thread(target=watch, args=pair, daemon=True) for pair in enumerate(submissions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    views: list[WorkflowView] = []
    for index in range(len(workflows)):
        outcome = ended[index]
        if isinstance(outcome, ApiError):
            raise outcome
        views.append(outcome)
    return views


def documentation(checkout: Path) -> list[Path]:
    """README, changelog and everything under docs/, as far as they exist."""
    first = [checkout / "README.md", checkout / "CHANGELOG.md"]
    return [path for path in [*first, *sorted(checkout.glob("docs/**/*.md"))] if path.is_file()]


def upload_documentation(api: Api, checkout: Path) -> dict[str, str]:
    """Create or replace one document a file; the ids by path. Raises ApiError when there is none at all."""
    paths = documentation(checkout)
    ids: dict[str, str] = {}
    for path in paths:
        content = path.read_text()
        external_id = path.relative_to(checkout).as_posix()
        ids[external_id] = api.put_document(
            external_id, {"title": title_of(content) or external_id, "content": content}
        )
    if not paths:
        raise ApiError(f"There is no documentation in {checkout} to upload.")
    return ids


def wait_for_vectors(api: Api, console: Console) -> None:
    """Returns once every passage has its vector: an answer before would be found by full text alone, and say so.

    After WAITING_SECONDS it returns all the same."""
    deadline = time.monotonic() + WAITING_SECONDS
    with console.status("Making vectors") as shown:
        while time.monotonic() < deadline:
            state = api.get("/api/v1/knowledge/")
            if state["embedded_passages"] >= state["passages"]:
                break
            shown.update(f"Making vectors: {state['embedded_passages']} of {state['passages']} passages")
            time.sleep(POLL_SECONDS)
    console.print(
        f"Knowledge base: {state['documents']} documents of this project, {state['passages']} passages."
    )


def follow(api: Api, shown: Board, index: int, submitted: dict[str, str]) -> WorkflowView:
    """Watch one workflow to its end: each event makes us look at the workflow, which is the truth.

    What waits for approval is approved, as a user would do it, and said."""
    view = WorkflowView(api.get(submitted["status_url"]))
    shown.show(index, view)
    for _ in api.events(submitted["events_url"], DEADLINE_SECONDS):
        view = WorkflowView(api.get(submitted["status_url"]))
        shown.show(index, view)
        if view.finished:
            break
        for key in view.waiting_for_approval:
            approve(api, shown, index, submitted, key)
    return view


def approve(api: Api, shown: Board, index: int, submitted: dict[str, str], key: str) -> None:
    """Approve a step; nothing where somebody else has answered first. Raises ApiError."""
    path = f"{submitted['status_url'].rstrip('/')}/steps/{key}/approve/"
    try:
        api.post(path, {"comment": APPROVAL_COMMENT})
    except ApiError:
        if WorkflowView(api.get(submitted["status_url"])).waiting_for_approval:
            raise
        shown.tell(index, f"step {key}: somebody else has answered first")
    else:
        shown.tell(index, f"step {key}: approved by POST {urlsplit(path).path}")
