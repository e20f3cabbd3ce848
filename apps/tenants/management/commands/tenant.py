"""manage.py tenant: creates tenants and their keys at a terminal."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.tenants.models import Tenant
from apps.tenants.services import TenantExists, UnknownTier, api_key_issue, tenant_create


class Command(BaseCommand):
    help = "Creates a tenant, or a key for one that exists; a key is printed this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="A new tenant with a key.")
        create.add_argument("name")
        create.add_argument("--tier", default="standard", help="free, standard or enterprise.")
        key = actions.add_parser("key", help="Another key for a tenant.")
        key.add_argument("name")
        key.add_argument("--key-name", default="terminal")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = self._create(options) if options["action"] == "create" else self._find(options["name"])
        issued = api_key_issue(tenant=tenant, name=options.get("key_name") or "first key")
        self.stdout.write(f"tenant {tenant.name} ({tenant.tier_id}), id {tenant.pk}")
        self.stdout.write(f"key    {issued.plaintext}")
        self.stdout.write("This key is shown only now. Keep it where your application finds it.")

    def _create(self, options: dict[str, Any]) -> Tenant:
        try:
            return tenant_create(name=options["name"], tier=options["tier"])
        except (TenantExists, UnknownTier) as error:
            raise CommandError(str(error)) from error

    def _find(self, name: str) -> Tenant:
        tenant = Tenant.objects.filter(name=name).first()
        if tenant is None:
            raise CommandError(f"there is no tenant '{name}'; create it with: manage.py tenant create {name}")
        return tenant
