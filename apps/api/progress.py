"""Shows running workflows: a bar each on a terminal, a line for every change elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

ENDED_STEPS = {"succeeded", "skipped", "omitted", "dead", "cancelled"}
ENDED_WORKFLOWS = {"succeeded", "partial", "failed", "cancelled"}

_READABLE = ("answer", "reply", "summary", "report")


@dataclass(frozen=True)
class WorkflowView:
    """What the API says of a workflow, as far as it is shown."""

    data: dict[str, Any]

    @property
    def finished(self) -> bool:
        return self.data["status"] in ENDED_WORKFLOWS

    @property
    def succeeded(self) -> bool:
        return self.data["status"] == "succeeded"

    @property
    def cached_seconds(self) -> float | None:
        """How old the kept result is that it was given without a step; None where it has run."""
        cache = self.data.get("cache")
        return float(cache["age_seconds"]) if cache else None

    @property
    def steps_total(self) -> int:
        return len(self.data["steps"])

    @property
    def steps_ended(self) -> int:
        return sum(step["status"] in ENDED_STEPS for step in self.data["steps"])

    @property
    def steps(self) -> str:
        """How many of its steps have ended; nothing of a run that was given a kept result, and has none."""
        return "" if self.cached_seconds is not None else f"{self.steps_ended}/{self.steps_total}"

    @property
    def doing(self) -> str:
        """The steps under way, else the workflow's status."""
        if self.cached_seconds is not None:
            return f"{self.data['status']}, from the cache"
        if self.finished:
            return str(self.data["status"])
        active = [step for step in self.data["steps"] if step["status"] not in ENDED_STEPS | {"blocked"}]
        return ", ".join(f"{step['key']} {step['status']}" for step in active) or str(self.data["status"])

    @property
    def waiting_for_approval(self) -> list[str]:
        """The keys of steps that somebody has to approve or reject."""
        return [step["key"] for step in self.data["steps"] if step.get("waiting_for") == "approval"]

    @property
    def cost_usd_micros(self) -> int:
        return int(self.data.get("cost_usd_micros") or 0)

    @property
    def has_result(self) -> bool:
        """Whether it ended with a result, whole or with parts missing."""
        return self.data["status"] in ("succeeded", "partial")

    @property
    def result(self) -> dict[str, Any]:
        """The result; empty when there is none, or it is no object."""
        result = self.data.get("result")
        return result if isinstance(result, dict) else {}

    @property
    def answer(self) -> str:
        """What there is to read in the result, under the name that its definition gives it."""
        return str(next((self.result[name] for name in _READABLE if self.result.get(name)), ""))

    @property
    def sources(self) -> list[str]:
        """Where the answer comes from, each place once: the heading's path, which begins with the title."""
        listed = self.result.get("sources")
        sources = (
            [source for source in listed if isinstance(source, dict)] if isinstance(listed, list) else []
        )
        places = (str(source.get("heading") or source.get("title") or "") for source in sources)
        return list(dict.fromkeys(place for place in places if place))

    @property
    def verdict(self) -> str:
        """How a report was judged, or what a review recommends and what was made of it; empty for anything else."""
        critique, approval = self.result.get("critique"), self.result.get("approval")
        if isinstance(critique, dict):
            return f"critique: {critique['score']} of 10, {'' if critique['revised'] else 'not '}revised"
        if not isinstance(approval, dict):
            return ""
        said = "approved" if approval["approved"] else "rejected"
        comment = f": {approval['comment']}" if approval["comment"] else ""
        return f"recommends: {self.result.get('recommendation')}; {said} by {approval['by'] or 'nobody'}{comment}"

    @property
    def problem(self) -> str:
        """Why there is no answer."""
        error = self.data.get("error")
        if isinstance(error, dict):
            error = error.get("detail") or error.get("message") or error
        return f"{self.data['status']}: {error or 'no reason given'}"


class Board(Protocol):
    """Where the state of workflows is shown; called from several threads."""

    def show(self, index: int, view: WorkflowView) -> None: ...

    def tell(self, index: int, message: str) -> None: ...


class Bars:
    """One progress bar a workflow."""

    def __init__(self, progress: Progress, titles: Sequence[str]) -> None:
        self.progress = progress
        self.titles = titles
        self.tasks = [
            progress.add_task(escape(title), total=None, steps="", doing="submitting", cost=0.0)
            for title in titles
        ]

    def show(self, index: int, view: WorkflowView) -> None:
        self.progress.update(
            self.tasks[index],
            total=max(1, view.steps_total),
            completed=max(1, view.steps_total) if view.finished else view.steps_ended,
            steps=view.steps,
            doing=view.doing,
            cost=view.cost_usd_micros / 1_000_000,
        )
        if view.finished:
            self.progress.stop_task(self.tasks[index])

    def tell(self, index: int, message: str) -> None:
        """Says it above the bars, where it stays."""
        self.progress.console.print(f"{self.titles[index]}: {message}", markup=False, highlight=False)


class Lines:
    """One line for each change of a workflow."""

    def __init__(self, console: Console, titles: Sequence[str]) -> None:
        self.console = console
        self.titles = titles
        self.latest: dict[int, str] = {}

    def show(self, index: int, view: WorkflowView) -> None:
        state = f"{view.steps} {view.doing}".strip()
        if self.latest.get(index) != state:
            self.latest[index] = state
            self.console.print(
                f"  {self.titles[index]}  {state}  {dollars(view.cost_usd_micros)}", markup=False
            )

    def tell(self, index: int, message: str) -> None:
        self.console.print(f"  {self.titles[index]}  {message}", markup=False)


@contextmanager
def board(console: Console, titles: Sequence[str]) -> Iterator[Board]:
    """The fitting board for this console."""
    if not console.is_terminal:
        yield Lines(console, titles)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[steps]}"),
        TextColumn("${task.fields[cost]:.6f}"),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[doing]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield Bars(progress, [shortened(title, console.width) for title in titles])


def show_outcome(console: Console, view: WorkflowView) -> None:
    """What came of a workflow: the answer with its sources, or the result, or what went wrong; and the cost."""
    if not view.has_result:
        console.print(f"[red]{escape(view.problem)}[/red]")
    elif view.answer:
        console.print(view.answer, markup=False, highlight=False)
    else:
        console.print_json(data=view.data["result"])
    if view.verdict:
        console.print(f"[dim]  {escape(view.verdict)}[/dim]")
    for source in view.sources:
        console.print(f"[dim]  source: {escape(source)}[/dim]")
    for degradation in view.data.get("degradations") or []:
        console.print(f"[yellow]  {escape(str(degradation.get('message') or degradation))}[/yellow]")
    kept = "" if view.cached_seconds is None else f", answered {view.cached_seconds:,.0f} s ago"
    console.print(f"[dim]  cost: {dollars(view.cost_usd_micros)}{kept}[/dim]")


def dollars(usd_micros: int) -> str:
    return f"${usd_micros / 1_000_000:.6f}"


def shortened(title: str, width: int) -> str:
    """The title, cut so that the bar beside it keeps its place."""
    room = max(16, width - 75)
    return title if len(title) <= room else title[: room - 1] + "…"
