"""manage.py submit: submits a workflow at a terminal, and follows it to its end."""

from __future__ import annotations

import io
import sys
import time
import uuid
from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import APIException, ParseError
from rich.console import Console

from apps.api.errors import Problem, as_problem
from apps.api.parsers import StrictJSONParser
from apps.api.progress import WorkflowView, board, show_outcome
from apps.api.v1.submissions import SubmissionSerializer
from apps.api.v1.workflow_serializers import WorkflowSerializer
from apps.api.v1.workflows import submission_of
from apps.database import release_connection, until_answered
from apps.tenants.models import Tenant
from apps.workflows.models import Workflow
from apps.workflows.services import Submission, workflow_start
from apps.workflows.submissions import DEFAULT_QUEUE

POLL_SECONDS = 0.2
OUTAGE_PATIENCE_SECONDS = 120.0
MAX_NAMES_SHOWN = 20


class Command(BaseCommand):
    help = "Submits a workflow and prints its id; with --follow, shows its progress and its result."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("type", metavar="TYPE", help="Which definition to run, such as answer_question.")
        parser.add_argument(
            "--input",
            required=True,
            metavar="JSON|@FILE|-",
            help="The input: a JSON object, @ and the name of a file, or - for standard input.",
        )
        parser.add_argument(
            "--tenant", metavar="NAME", help="For whom; not needed while there is one tenant."
        )
        parser.add_argument("--priority", default=DEFAULT_QUEUE, help="interactive, standard or batch.")
        parser.add_argument("--deadline-seconds", type=int, metavar="N", help="How long it may take in all.")
        parser.add_argument("--max-cost-usd", type=usd, metavar="USD", help="What it may cost in all.")
        parser.add_argument("--session-id", metavar="ID", help="The conversation that it is a part of.")
        parser.add_argument("--follow", action="store_true", help="Wait for its end, and show how it goes.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = find_tenant(options["tenant"])
        submission = validated(tenant, options)
        started = workflow_start(tenant=tenant, submission=submission)
        console = Console()
        console.print(str(started.id), markup=False, highlight=False)
        if not options["follow"]:
            return
        try:
            view = follow(console, started.id, options["type"])
        except KeyboardInterrupt:
            console.print("No longer followed; the workflow goes on.")
            sys.exit(130)
        show_outcome(console, view)
        if not view.succeeded:
            sys.exit(1)


def usd(text: str) -> Decimal:
    """An amount of dollars as the command line gives it."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None


def find_tenant(name: str | None) -> Tenant:
    """The tenant of that name, or the only one there is. Raises CommandError."""
    tenants = Tenant.objects.order_by("name")
    found = tenants.filter(name=name).first() if name is not None else None
    if name is None and tenants.count() == 1:
        found = tenants.first()
    if found is None:
        names = ", ".join(tenants.values_list("name", flat=True)[:MAX_NAMES_SHOWN])
        what = f"there is no tenant '{name}'" if name is not None else "say for whom, with --tenant NAME"
        raise CommandError(
            f"{what}; there are: {names or 'none, so create one with manage.py tenant create'}"
        )
    if not found.is_active:
        raise CommandError(f"the tenant '{found.name}' is suspended; reactivate it in the admin")
    return found


def validated(tenant: Tenant, options: dict[str, Any]) -> Submission:
    """The submission, checked as the API checks it. Raises CommandError with all that is wrong."""
    body = {"type": options["type"], "priority": options["priority"], "input": read_input(options["input"])}
    body |= {
        name: options[name]
        for name in ("deadline_seconds", "max_cost_usd", "session_id")
        if options[name] is not None
    }
    try:
        serializer = SubmissionSerializer(data=body)
        serializer.is_valid(raise_exception=True)
        return submission_of(tenant, serializer.validated_data)
    except APIException as error:
        raise CommandError(explained(as_problem(error))) from None


def read_input(given: str) -> dict[str, Any]:
    """The input object of the command line, a file or standard input. Raises CommandError."""
    try:
        if given == "-":
            document = sys.stdin.buffer.read()
        elif given.startswith("@"):
            document = Path(given[1:]).read_bytes()
        else:
            document = given.encode()
    except OSError as error:
        raise CommandError(f"--input: {given[1:]} cannot be read: {error.strerror}") from error
    try:
        return dict(StrictJSONParser().parse(io.BytesIO(document)))
    except ParseError as error:
        raise CommandError(f"--input: {str(error.detail).replace('The body', 'The input')}") from None


def explained(problem: Problem) -> str:
    """A problem document in lines: what is wrong, and where."""
    lines = [f"{error.pointer}: {error.detail}" for error in problem.errors]
    return "\n".join(lines) or str(problem.detail)


def follow(console: Console, workflow_id: uuid.UUID, title: str) -> WorkflowView:
    """Shows a run until it has ended; through an outage of the database, it waits."""
    with board(console, [title]) as shown:
        while True:
            view = until_answered(
                lambda: look(workflow_id), what="submit", give_up_after_seconds=OUTAGE_PATIENCE_SECONDS
            )
            shown.show(0, view)
            if view.finished:
                return view
            time.sleep(POLL_SECONDS)


def look(workflow_id: uuid.UUID) -> WorkflowView:
    """The run as the API shows it."""
    try:
        workflow = Workflow.objects.select_related("definition").get(pk=workflow_id)
        return WorkflowView(dict(WorkflowSerializer(workflow).data))
    finally:
        release_connection()
