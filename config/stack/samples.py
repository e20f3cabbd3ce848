"""The samples of ``run``: the project's documentation as a knowledge base, and real questions about it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

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
DEADLINE_SECONDS = 300.0


def run(base_url: str, tenant_key: str, console: Console, questions: tuple[str, ...] = QUESTIONS) -> bool:
    """Upload the documentation, ask the questions, show the answers; whether every workflow succeeded.

    Raises ApiError when the API refuses a document or a question."""
    api = Api(base_url, tenant_key)
    uploaded = upload_documentation(api, CHECKOUT)
    console.print(f"Knowledge base: {uploaded} documents of this project. Asking {len(questions)} questions.")
    with board(console, questions) as shown:
        done = ask(api, shown, questions)
    for question, view in zip(questions, done, strict=True):
        console.print(f"\n[bold]{escape(question)}[/bold]")
        show_outcome(console, view)
    total = sum(view.cost_usd_micros for view in done)
    succeeded = sum(view.succeeded for view in done)
    console.print(f"{succeeded} of {len(done)} questions answered, {dollars(total)} in all.")
    return succeeded == len(done)


def ask(api: Api, shown: Board, questions: Sequence[str]) -> list[WorkflowView]:
    """Submit every question, then watch them all at once; their last state, in order.

    The threads are daemons, so that Ctrl-C need not wait for a stream. Raises the first ApiError of any."""
    ended: dict[int, WorkflowView | ApiError] = {}

    def watch(index: int, submitted: dict[str, str]) -> None:
        try:
            ended[index] = follow(api, shown, index, submitted)
        except ApiError as error:
            ended[index] = error

    submissions = [api.submit("answer_question", {"question": question}) for question in questions]
    threads = [threading.Thread(target=watch, args=pair, daemon=True) for pair in enumerate(submissions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    views: list[WorkflowView] = []
    for index in range(len(questions)):
        outcome = ended[index]
        if isinstance(outcome, ApiError):
            raise outcome
        views.append(outcome)
    return views


def documentation(checkout: Path) -> list[Path]:
    """README, changelog and everything under docs/, as far as they exist."""
    first = [checkout / "README.md", checkout / "CHANGELOG.md"]
    return [path for path in [*first, *sorted(checkout.glob("docs/**/*.md"))] if path.is_file()]


def upload_documentation(api: Api, checkout: Path) -> int:
    """Create or replace one document a file; returns how many. Raises ApiError when there is none at all."""
    paths = documentation(checkout)
    for path in paths:
        content = path.read_text()
        external_id = path.relative_to(checkout).as_posix()
        api.put_document(external_id, {"title": title_of(content, external_id), "content": content})
    if not paths:
        raise ApiError(f"There is no documentation in {checkout} to upload.")
    return len(paths)


def title_of(content: str, default: str) -> str:
    """The first Markdown heading of the first level."""
    headings = (line[2:].strip() for line in content.splitlines() if line.startswith("# "))
    return next(headings, default)


def follow(api: Api, shown: Board, index: int, submitted: dict[str, str]) -> WorkflowView:
    """Watch one workflow to its end: each event makes us look at the workflow, which is the truth."""
    view = WorkflowView(api.get(submitted["status_url"]))
    shown.show(index, view)
    for _ in api.events(submitted["events_url"], DEADLINE_SECONDS):
        view = WorkflowView(api.get(submitted["status_url"]))
        shown.show(index, view)
        if view.finished:
            break
    return view
