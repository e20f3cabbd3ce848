"""Many processes that spend the last of a budget: `python -m tests.benchmarks.spenders PROCESSES CAP_USD KILLS`.

Every process calls a model through its own gateway, again and again. Meanwhile streams break off, providers fail,
fallbacks answer, workflows of the same tenant leave calls to batches, and processes are killed at random and replaced.
Over when nothing fits any longer. Prints JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

PROMPT = "Say in a hundred words what a lease is, and when it ends. "
MAX_TOKENS = 100
PROMPT_REPEATS = 14
"""About two hundred tokens."""

FAULTS: tuple[dict[str, Any], ...] = (
    {"break_stream_after": 3},
    {"status": 529, "provider": "anthropic"},
    {"stream_error_after": 2},
    {"status": 500, "provider": "anthropic"},
)
QUIET_SECONDS = 1.0
"""When nothing fits, and nothing is in flight for so long, the budget is spent."""

MOST_SECONDS = 400.0
BATCHED = 40
"""Workflows whose calls go with batches, where workers of the batch queue run."""


@dataclass
class Fleet:
    """The processes, each known by its pid."""

    tenant_id: uuid.UUID
    api_key_id: uuid.UUID
    pids: list[int] = field(default_factory=list)
    killed: int = 0

    def fork(self) -> None:
        """One more process; before it, nothing may be open that two must not share."""
        pid = os.fork()
        if not pid:
            # Whatever happens, the child never runs the parent's code.
            try:
                _spend(self.tenant_id, self.api_key_id)
            finally:
                os._exit(0)
        self.pids.append(pid)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.pids.remove(pid)


def main(processes: int, cap_usd: float, kills: int) -> None:
    """Prints what was spent, and how."""
    import django

    django.setup()
    from apps.gateway.providers import provider
    from apps.workflows.worker import gateway

    fleet = _set_up(int(cap_usd * 1_000_000))
    # Loaded once, for all of them: clients without connections.
    gateway()
    for name in ("anthropic", "second"):
        provider(name)
    _submit_batched(fleet)
    _close()
    for _ in range(processes):
        fleet.fork()
    control = f"{os.environ['ANTHROPIC_BASE_URL']}/_control/faults"
    started = time.monotonic()
    over = threading.Event()
    faults = threading.Thread(target=_break_things, args=(control, over), daemon=True)
    faults.start()
    took = _until_spent(fleet, started, kills)
    over.set()
    faults.join()
    httpx2.delete(control)
    for pid in list(fleet.pids):
        fleet.kill(pid)
    _cancel_held(fleet)
    sys.stdout.write(json.dumps({**_outcome(fleet), "seconds": took}) + "\n")


def _set_up(cap_usd_micros: int) -> Fleet:
    """A tenant with a key, budgets of four scopes by day and month, and a second provider."""
    from apps.budgets.models import Budget
    from apps.gateway.models import ModelTier, Provider, TierProvider
    from apps.tenants.services import api_key_issue, tenant_create

    secret = Path(os.environ["AGENTPLATFORM_HOME"]) / "second-key"
    secret.write_text("simulator-second\n")
    second, _ = Provider.objects.get_or_create(
        name="second",
        defaults={
            "kind": "anthropic",
            "secret": f"file:{secret}",
            "base_url": f"{os.environ['ANTHROPIC_BASE_URL']}/second",
        },
    )
    TierProvider.objects.get_or_create(tier=ModelTier.objects.get(tier="fast"), provider=second, position=1)
    tenant = tenant_create(name=f"spenders {uuid.uuid4()}", tier="standard")
    key = api_key_issue(name="spenders", tenant=tenant).api_key
    plenty = {"daily_usd_micros": 100 * cap_usd_micros, "monthly_usd_micros": 1_000 * cap_usd_micros}
    Budget.objects.create(name="platform", scope="platform", **plenty)
    Budget.objects.create(name="tier", scope="tier", tier=tenant.tier, **plenty)
    Budget.objects.create(name="key", scope="api_key", api_key=key, **plenty)
    Budget.objects.create(
        name="the last of it",
        scope="tenant",
        tenant=tenant,
        daily_usd_micros=cap_usd_micros,
        monthly_usd_micros=10 * cap_usd_micros,
        # What it does near its end is not what is measured here.
        alert_percent=None,
        degrade_percent=None,
        throttle_percent=None,
    )
    return Fleet(tenant.pk, key.pk)


def _submit_batched(fleet: Fleet) -> None:
    from apps.tenants.models import Tenant
    from apps.workflows.services import workflow_start
    from apps.workflows.submissions import submission_make

    tenant = Tenant.objects.get(pk=fleet.tenant_id)
    submission = submission_make(
        tenant=tenant, type_="patient_ask", workflow_input={"calls": 2}, queue="batch"
    )
    for _ in range(BATCHED):
        workflow_start(tenant=tenant, submission=submission)


def _cancel_held(fleet: Fleet) -> None:
    from apps.workflows.models import Workflow
    from apps.workflows.services import workflow_cancel

    for workflow in Workflow.objects.filter(tenant=fleet.tenant_id, finished_at=None):
        workflow_cancel(workflow.pk)


def _close() -> None:
    from django.db import connections

    connections.close_all()
    connections["default"].close_pool()


def _spend(tenant_id: uuid.UUID, api_key_id: uuid.UUID) -> None:
    from agentplatform.execution.deadlines import Deadline
    from agentplatform.llm.errors import ModelError
    from agentplatform.llm.journal import StepIdentity, StepJournal
    from agentplatform.llm.messages import ModelRequest
    from agentplatform.llm.model import CallContext
    from agentplatform.llm.tiers import Tier
    from apps.workflows.store import DatabaseCallStore
    from apps.workflows.worker import gateway

    while True:
        step = StepIdentity(tenant_id, uuid.uuid4(), uuid.uuid4(), 1, "spending", "spending", api_key_id)
        journal = StepJournal(step, DatabaseCallStore())
        prompt = f"{PROMPT * PROMPT_REPEATS}({step.step_id})"
        request = ModelRequest(Tier.FAST, ({"role": "user", "content": prompt},), MAX_TOKENS)
        try:
            gateway().for_step(journal).complete(request, CallContext(Deadline.after(30)))
        except ModelError:
            time.sleep(0.1)  # held, or failed: its step would come again later
        finally:
            journal.flush()


def _break_things(control: str, over: threading.Event) -> None:
    """A fault every second, each for one call."""
    number = 0
    while not over.wait(1.0):
        httpx2.post(control, json={**FAULTS[number % len(FAULTS)], "count": 1})
        number += 1


def _until_spent(fleet: Fleet, started: float, kills: int) -> float:
    """Kills at random until the budget is spent; returns how many seconds that took."""
    chance = random.Random(7)
    quiet_since = None
    next_kill = started + 2.0
    while time.monotonic() - started < MOST_SECONDS:
        time.sleep(0.05)
        now = time.monotonic()
        if fleet.killed < kills and now >= next_kill:
            fleet.kill(chance.choice(fleet.pids))
            fleet.killed += 1
            next_kill = now + chance.uniform(0.05, 0.3)
            _close()
            fleet.fork()
        if not _is_spent(fleet.tenant_id):
            quiet_since = None
        elif quiet_since is None:
            quiet_since = now
        elif now - quiet_since > QUIET_SECONDS:
            return quiet_since - started
    raise SystemExit(f"not spent after {MOST_SECONDS} s: {_outcome(fleet)}")


def _is_spent(tenant_id: uuid.UUID) -> bool:
    """Whether a call did not fit, and none is in flight; those of killed processes are swept."""
    from apps.budgets.models import Reservation, WindowUsage

    if Reservation.objects.filter(tenant=tenant_id).exists():
        return False
    usage = WindowUsage.objects.filter(window__budget__tenant=tenant_id, window__period="day").first()
    return usage is not None and usage.is_exhausted


def _outcome(fleet: Fleet) -> dict[str, Any]:
    from django.db.models import Count, Q, Sum

    from apps.budgets.models import LedgerEntry, WindowUsage

    entries = LedgerEntry.objects.filter(tenant=fleet.tenant_id)
    usage = WindowUsage.objects.get(window__budget__tenant=fleet.tenant_id, window__period="day")
    return {
        "cap_usd_micros": usage.cap_usd_micros,
        "used_usd_micros": usage.used_usd_micros,
        "in_flight_usd_micros": usage.in_flight_usd_micros,
        "killed": fleet.killed,
        **entries.aggregate(
            calls=Count("id", filter=~Q(kind="correction")),
            failed=Count("id", filter=Q(outcome="failed")),
            fallbacks=Count("id", filter=Q(provider="second")),
            batched=Count("id", filter=Q(kind="batch")),
            corrections=Count("id", filter=Q(kind="correction")),
            unknown_usd_micros=Sum("cost_usd_micros", filter=Q(outcome="unknown"), default=0),
            ledger_usd_micros=Sum("cost_usd_micros", default=0),
        ),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
