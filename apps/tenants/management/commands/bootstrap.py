"""manage.py bootstrap: the admin user and the demo tenant that a new stack starts with."""

import json
import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.tenants.models import ApiKey, Tenant, User
from apps.tenants.services import api_key_issue, api_key_revoke, tenant_create

ADMIN = "admin"
DEMO_TENANT = "demo"
DEMO_KEY = "samples of this stack"


class Command(BaseCommand):
    help = "Creates the admin user (its password is printed this once) and the demo tenant with a fresh key."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        password = None
        if not User.objects.filter(username=ADMIN).exists():
            password = secrets.token_urlsafe(12)
            User.objects.create_superuser(ADMIN, password=password)
        tenant = Tenant.objects.filter(name=DEMO_TENANT).first()
        if tenant is None:
            tenant = tenant_create(name=DEMO_TENANT, tier="standard")
        # The plaintext of an earlier key is kept nowhere, so each start has its own.
        for old in ApiKey.objects.usable().filter(tenant=tenant, name=DEMO_KEY):
            api_key_revoke(old)
        key = api_key_issue(tenant=tenant, name=DEMO_KEY).plaintext
        result = {"admin_user": ADMIN, "admin_password": password, "tenant_key": key}
        if options["json"]:
            self.stdout.write(json.dumps(result))
            return
        shown = password or "(as it was set before)"
        self.stdout.write(
            f"admin user: {ADMIN}\npassword:   {shown}\ntenant:     {DEMO_TENANT}\nkey:        {key}"
        )
