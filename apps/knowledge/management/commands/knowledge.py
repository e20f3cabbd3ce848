"""manage.py knowledge: how far the vectors of a knowledge base are, and making them anew."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from apps.knowledge.models import Document
from apps.knowledge.selectors import knowledge_state
from apps.knowledge.services import documents_embed_anew
from apps.tenants.models import Tenant

POLL_SECONDS = 0.5


class Command(BaseCommand):
    help = "Shows the state of tenants' knowledge bases, or has their vectors made anew in the background."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        status = actions.add_parser("status", help="What each tenant has, and how much of it has vectors.")
        status.add_argument("--tenant", metavar="NAME", help="Only this tenant.")
        status.add_argument("--follow", action="store_true", help="Show progress until all have vectors.")
        anew = actions.add_parser("reembed", help="Makes all vectors anew, in the background.")
        anew.add_argument("--tenant", metavar="NAME", help="Only this tenant's.")
        anew.add_argument("--follow", action="store_true", help="Show progress until all have vectors.")

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = find_tenants(options["tenant"])
        if options["action"] == "reembed":
            count = documents_embed_anew(Document.objects.filter(tenant__in=tenants))
            self.stdout.write(f"{count} documents will be embedded anew, in the background.")
        if options["follow"]:
            follow(tenants)
        for tenant in tenants:
            state = knowledge_state(tenant)
            self.stdout.write(
                f"{tenant.name}: version {state.version}, {state.documents} documents, {state.passages} passages, "
                f"{state.embedded_passages} with vectors of {state.embedding_model}"
            )


def find_tenants(name: str | None) -> list[Tenant]:
    """The tenant of this name, or all. Raises CommandError when there is none."""
    tenants = list(Tenant.objects.filter(name=name) if name else Tenant.objects.order_by("name"))
    if not tenants:
        raise CommandError(f"there is no tenant '{name}'" if name else "there are no tenants yet")
    return tenants


def follow(tenants: list[Tenant]) -> None:
    """Shows how many passages have their vectors, until all have or somebody has seen enough (Ctrl-C)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console()) as progress:
        shown = progress.add_task("passages with vectors")
        try:
            while True:
                states = [knowledge_state(tenant) for tenant in tenants]
                passages = sum(state.passages for state in states)
                embedded = sum(state.embedded_passages for state in states)
                progress.update(shown, total=passages, completed=embedded)
                if embedded >= passages:
                    return
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            progress.console.print("It goes on in the background.")
