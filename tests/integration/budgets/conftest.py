"""What the tests of budgets share: calls without steps, and what windows say of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from django.db.models import Sum

from agentplatform.identifiers import uuid7
from agentplatform.llm.journal import Settlement, StartedCall, StepIdentity
from agentplatform.llm.messages import ModelResponse, Usage
from apps.budgets.models import Budget, BudgetWindow, LedgerEntry, Reservation, WindowSet, WindowUsage
from apps.tenants.models import Tenant
from apps.workflows.store import DatabaseCallStore

USAGE = Usage(input_tokens=200, output_tokens=100)
RESPONSE = ModelResponse(({"type": "text", "text": "hi"},), "end_turn", USAGE, "m", "anthropic", "req_1")


@dataclass
class Spender:
    """Starts and settles calls of one tenant. Each is reserved for with 1,000 µ$ and 1,100 tokens, and costs 300 µ$."""

    tenant: Tenant
    task_type: str = "one_ask"
    api_key_id: uuid.UUID | None = None
    store: DatabaseCallStore = field(default_factory=DatabaseCallStore)

    def start(self, usd_micros: int = 1_000, **more: Any) -> StartedCall:
        """A call that was reserved for. Raises BudgetShort."""
        step = StepIdentity(self.tenant.pk, uuid7(), uuid7(), 1, self.task_type, "agent", self.api_key_id)
        call = StartedCall(step, 0, "hash", "fast", "anthropic", "m", usd_micros, 1_000, 100, **more)
        self.store.start(call, ())
        return call

    def settle(self, call: StartedCall, usd_micros: int = 300, usage: Usage = USAGE) -> None:
        """Settles a call."""
        response = replace(RESPONSE, usage=usage)
        settlement = Settlement(call, "settled", usage, usd_micros, "v1", "m", "req", response=response)
        self.store.settle([settlement])

    def spend(self, usd_micros: int = 300) -> StartedCall:
        """One call from start to end."""
        call = self.start()
        self.settle(call, usd_micros)
        return call


@pytest.fixture
def spender(tenant: Tenant) -> Spender:
    """Spends for the tenant."""
    return Spender(tenant)


@pytest.fixture
def budget(tenant: Tenant) -> Callable[..., Budget]:
    """Makes a budget; of the tenant, unless another scope is named."""

    def make(name: str = "acme", **fields: Any) -> Budget:
        if "scope" not in fields:
            fields |= {"scope": "tenant", "tenant": tenant}
        return Budget.objects.create(name=name, **fields)

    return make


def usage_of(budget: Budget, period: str = "day") -> WindowUsage:
    """How the present window of a budget stands."""
    return WindowUsage.objects.filter(window__budget=budget, window__period=period).latest("window_id")


def assert_counters_are_the_ledger() -> None:
    """Each window has used what the entries of its sets say, beyond what it began with."""
    sets = {one.pk: one.windows for one in WindowSet.objects.all()}
    for usage in WindowUsage.objects.select_related("window"):
        own = [pk for pk, windows in sets.items() if usage.window_id in windows]
        entries = LedgerEntry.objects.filter(window_set_id__in=own)
        summed = entries.aggregate(usd=Sum("cost_usd_micros"))["usd"] or 0
        assert usage.used_usd_micros - usage.window.opening_usd_micros == summed, usage.window
    if not Reservation.objects.exists():
        in_flight = WindowUsage.objects.values_list("in_flight_usd_micros", "in_flight_tokens")
        assert set(in_flight) <= {(0, 0)}


def windows() -> list[tuple[str, str]]:
    """The budgets and periods that are counted in."""
    return sorted(BudgetWindow.objects.values_list("budget__name", "period"))
