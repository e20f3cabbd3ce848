"""manage.py tenant: creates tenants and their keys at a terminal."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.tenants.models import LIMITS, Tenant
from apps.tenants.services import TenantExists, UnknownTier, api_key_issue, tenant_create, tenant_limit


class Command(BaseCommand):
    help = "Creates a tenant, a key for one that exists (printed this once), or gives it limits of its own."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="A new tenant with a key.")
        create.add_argument("name")
        create.add_argument("--tier", default="standard", help="free, standard or enterprise.")
        key = actions.add_parser("key", help="Another key for a tenant.")
        key.add_argument("name")
        key.add_argument("--key-name", default="terminal")
        limits = actions.add_parser("limits", help="Limits of its own for a tenant; 'tier' for the tier's.")
        limits.add_argument("name")
        for limit in LIMITS:
            limits.add_argument(f"--{limit.replace('_', '-')}", default=None)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "limits":
            self._limit(self._find(options["name"]), options)
            return
        tenant = self._create(options) if options["action"] == "create" else self._find(options["name"])
        issued = api_key_issue(tenant=tenant, name=options.get("key_name") or "first key")
        self.stdout.write(f"tenant {tenant.name} ({tenant.tier_id}), id {tenant.pk}")
        self.stdout.write(f"key    {issued.plaintext}")
        self.stdout.write("This key is shown only now. Keep it where your application finds it.")

    def _limit(self, tenant: Tenant, options: dict[str, Any]) -> None:
        given = {name: options[name] for name in LIMITS if options[name] is not None}
        try:
            limits = {name: None if text == "tier" else int(text) for name, text in given.items()}
            tenant_limit(tenant, limits)
        except ValueError as error:
            raise CommandError(f"{error} (a whole number, or 'tier' for what the tier grants)") from error
        tenant.refresh_from_db()
        for name in LIMITS:
            own = "its tier's" if getattr(tenant, name) is None else "its own"
            self.stdout.write(f"{name:<22}{tenant.limit(name):>14,}  {own}")

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
