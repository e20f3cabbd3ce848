"""manage.py operator: creates operators' keys at a terminal."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.tenants.services import api_key_issue


class Command(BaseCommand):
    help = "Creates an operator's API key; it is printed this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="A new key with operator scope.")
        create.add_argument("name", help="Whose key it is.")

    def handle(self, *args: Any, **options: Any) -> None:
        issued = api_key_issue(name=options["name"])
        self.stdout.write(f"operator {options['name']}\nkey      {issued.plaintext}")
        self.stdout.write("This key is shown only now. Keep it in a safe place.")
