"""Brings the whole product up, step by step, and tells how to use it."""

from __future__ import annotations

from dataclasses import dataclass

from config.stack.environment import FLOWER_USER, SERVER_VARIABLES
from config.stack.errors import StackError
from config.stack.ports import LOOPBACK
from config.stack.readiness import wait_until_ready
from config.stack.samples import run as run_all_samples
from config.stack.screen import Screen
from config.stack.stack import Stack

SIMULATOR_NOTICE = (
    "No ANTHROPIC_API_KEY is set: answers come from the local simulator, not from a model.\n"
    "Costs are what the models it stands for would have cost."
)


@dataclass(frozen=True)
class Access:
    """How a person gets in. A password is there only when it has just been generated."""

    admin_user: str
    admin_password: str | None
    flower_password: str | None
    tenant_key: str | None


def start(stack: Stack, screen: Screen) -> Access:
    """Servers, schema, first users, processes, readiness, in this order. Raises StackError at the first failure."""
    screen.line(f"agentplatform, home {stack.home}")
    if stack.simulated:
        screen.console.print(f"[yellow]{SIMULATOR_NOTICE}[/yellow]")
    stack.require_free()
    with screen.step(servers_title(stack)):
        stack.start_servers()
    with screen.step("Database schema"):
        stack.migrate()
    with screen.step("Admin user and demo tenant"):
        made = stack.bootstrap()
    if made.get("admin_password"):  # at once, because it is never shown again
        screen.line(f"  Admin login: {made['admin_user']} {made['admin_password']}")
    with screen.step(f"Processes ({len(stack.process_names)})"):
        stack.start()
        wait_until_ready(stack, screen.say)
    return Access(
        admin_user=str(made.get("admin_user", "admin")),
        admin_password=made.get("admin_password"),
        flower_password=stack.new_flower_password,
        tenant_key=made.get("tenant_key"),
    )


def servers_title(stack: Stack) -> str:
    """Which servers are embedded and which are the user's own."""
    given = [variable for variable in SERVER_VARIABLES.values() if stack.given.get(variable)]
    return f"Servers (from the environment: {', '.join(given)})" if given else "PostgreSQL and two Valkeys"


def run_samples(stack: Stack, screen: Screen, access: Access) -> bool:
    """Upload the documentation and put every definition to work on it; whether every workflow succeeded."""
    if not access.tenant_key:
        raise StackError(
            "manage.py bootstrap gave no key for the demo tenant, so the samples cannot be submitted."
        )
    return run_all_samples(stack.base_url, access.tenant_key, screen.console)


def show_addresses(stack: Stack, screen: Screen, access: Access) -> None:
    """The addresses people open, with logins."""
    admin = (
        access.admin_password
        or "(password as printed at the first start; manage.py changepassword sets another)"
    )
    flower = access.flower_password or f"(password: flower_password in {stack.home / 'secrets.json'})"
    screen.line()
    screen.line(f"Admin       {stack.base_url}/admin/    {access.admin_user} {admin}")
    screen.line(f"Flower      http://{LOOPBACK}:{stack.ports['FLOWER_PORT']}/    {FLOWER_USER} {flower}")
    screen.line(f"API docs    {stack.base_url}/api/docs/")
    if access.tenant_key:
        screen.line(f"Tenant key  {access.tenant_key}    (Authorization: Bearer ...)")
    screen.line(f"Logs        {stack.layout.logs}")
    if stack.simulated:
        screen.console.print(f"[yellow]{SIMULATOR_NOTICE}[/yellow]")
    screen.line("Serving. Ctrl-C ends everything.")
