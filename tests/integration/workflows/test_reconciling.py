"""Counters are held against the ledger, and the ledger against what a provider billed, over real HTTP."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from agentplatform.budgets.reconciliation import Check, Mismatch
from agentplatform.simulator.settings import SimulatorSettings
from apps.budgets.models import Budget, BudgetWindow, HourlySpend, LedgerEntry, Reservation, Slice
from apps.budgets.rollup import spend_rollup
from apps.gateway.models import Call, Provider
from apps.notifications.models import Notice
from apps.tenants.models import Tenant
from apps.workflows.models import Workflow
from apps.workflows.reconciling import books_check, books_watch, default_range
from tests.integration.budgets.conftest import Spender
from tests.integration.conftest import Hand
from tests.integration.gateway.test_running_steps import Worker
from tests.unit.conftest import RunningSimulator, serve

Submit = Callable[..., Workflow]


@pytest.fixture
def spender(tenant: Tenant) -> Spender:
    """Spends for the tenant, which has a budget."""
    Budget.objects.create(
        name="acme", scope="tenant", tenant=tenant, daily_usd_micros=10_000_000, monthly_tokens=10_000_000
    )
    return Spender(tenant)


def sql(statement: str, *parameters: Any) -> None:
    """What nothing of the product does."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def mismatches() -> list[Mismatch]:
    """Whatever differs in the last days."""
    return [one for check in books_check(*default_range()) for one in check.mismatches]


def check_named(part: str) -> Check:
    """The check whose name has this in it."""
    (found,) = [check for check in books_check(*default_range()) if part in check.name]
    return found


def double_entry() -> LedgerEntry:
    """Enters the first entry once more."""
    entry = LedgerEntry.objects.earliest("pk")
    entry.pk = None
    entry.save(force_insert=True)
    return entry


def lose_entry() -> LedgerEntry:
    """Takes an entry out of the ledger, behind its back."""
    entry = LedgerEntry.objects.earliest("pk")
    sql("ALTER TABLE budgets_ledgerentry DISABLE TRIGGER budgets_ledger_append_only")
    sql("DELETE FROM budgets_ledgerentry WHERE id = %s", entry.pk)
    sql("ALTER TABLE budgets_ledgerentry ENABLE TRIGGER budgets_ledger_append_only")
    return entry


def test_after_calls_of_all_kinds_everything_agrees(spender: Spender) -> None:
    """From slices, straight from windows, in flight, given up, and told of afterwards."""
    spender.spend()
    spender.start()
    direct = spender.start(lane="batch")
    given_up = spender.start()
    sql("SELECT workflows_give_up_calls(%s, 'worker_lost')", [given_up.call_id])
    assert not mismatches()
    spender.settle(given_up)
    spender.settle(direct)
    assert not mismatches()
    assert check_named("windows have used").compared == 4
    assert check_named("calls are").compared == 2 * 3


def test_an_entry_that_is_missing_is_named(spender: Spender) -> None:
    """By its call, in the windows that it counted in, and by its amount."""
    call = spender.spend()
    lose_entry()
    found = {(one.unit, one.found - one.expected) for one in mismatches()}
    assert {("entries", -1), ("usd_micros", 300), ("usd_micros", -300), ("tokens", 300)} <= found
    assert str(call.call_id) in [identifier for one in mismatches() for identifier in one.ids]


def test_an_entry_that_is_there_twice_is_named(spender: Spender) -> None:
    """The call is named with both ids that lead to it."""
    call = spender.spend()
    double_entry()
    (entries,) = [one for one in mismatches() if one.unit == "entries"]
    assert (entries.expected, entries.found) == (1, 2)
    assert entries.ids == (str(call.call_id), str(call.step.workflow_id))


def test_counters_of_windows_and_slices_that_are_off_are_named(spender: Spender) -> None:
    """What is used, what is leased, and what slices hold for calls in flight."""
    spender.start()
    BudgetWindow.objects.filter(period="day").update(spent_usd_micros=7)
    BudgetWindow.objects.filter(period="month").update(leased_tokens=9)
    Slice.objects.update(reserved_usd_micros=11)
    words = [f"{one.subject} {one.unit} {one.found}" for one in mismatches()]
    assert any("day window" in one and one.endswith("used usd_micros 7") for one in words)
    assert any("month window" in one and one.endswith("leased to slices tokens 9") for one in words)
    assert any(one.startswith("slice ") and one.endswith("reserved usd_micros 11") for one in words)


def test_a_closed_hour_that_is_not_the_sum_of_its_entries_is_named(spender: Spender) -> None:
    """An hour that is not over is not looked at."""
    spender.spend()
    sql("ALTER TABLE budgets_ledgerentry DISABLE TRIGGER budgets_ledger_append_only")
    sql("UPDATE budgets_ledgerentry SET created_at = now() - interval '5 hours'")
    sql("ALTER TABLE budgets_ledgerentry ENABLE TRIGGER budgets_ledger_append_only")
    spender.spend()
    spend_rollup()
    assert check_named("hours") == Check("hours add up to the ledger", 3, 0)
    HourlySpend.objects.update(cost_usd_micros=299)
    (off,) = check_named("hours").mismatches
    assert (off.expected, off.found, off.ids) == (300, 299, (str(spender.tenant.pk),))


def test_a_run_that_costs_something_else_than_its_entries_is_named(submit: Submit, spender: Spender) -> None:
    """By its id."""
    workflow = submit("one_ask")
    Workflow.objects.filter(pk=workflow.pk).update(cost_usd_micros=5)
    (off,) = check_named("workflows").mismatches
    assert (off.expected, off.found, off.ids) == (0, 5, (str(workflow.pk),))


def test_a_reservation_that_nobody_runs_is_named_once_the_sweep_should_have_had_it(spender: Spender) -> None:
    """Not before; and what a batch has may wait."""
    call, _ = spender.start(), spender.start(lane="batch")
    assert not check_named("reservation").mismatched
    sql("UPDATE budgets_reservation SET created_at = now() - interval '1 hour'")
    (left,) = check_named("reservation").mismatches
    assert str(call.call_id) in left.ids
    assert Reservation.objects.count() == 2


def test_operators_are_told_once_a_day_of_what_differs(spender: Spender) -> None:
    """And of nothing while all agrees."""
    spender.spend()
    assert books_watch() == 0
    assert not Notice.objects.exists()
    double_entry()
    assert books_watch() > 0
    assert books_watch() > 0
    notice = Notice.objects.get()
    assert (notice.code, notice.severity, notice.audience) == ("ledger.mismatch", "critical", "operators")
    assert notice.data["mismatched"]["calls are in the ledger, each once"] == 2


# --- What a provider billed ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _simulator() -> Iterator[RunningSimulator]:
    yield from serve(SimulatorSettings(latency_scale=0))


@pytest.fixture
def simulator(_simulator: RunningSimulator, tenant: Tenant, settings: Any) -> RunningSimulator:
    """A simulator that has billed nothing, with a key to its reports."""
    _simulator.reset()
    Provider.objects.update(base_url=_simulator.url)
    settings.ANTHROPIC_ADMIN_KEY = "admin-key"
    return _simulator


def reconcile(*words: str) -> tuple[int, dict[str, Any]]:
    """(Exit status, what it says) of the command, for machines."""
    printed = io.StringIO()
    try:
        call_command("reconcile", *words, "--json", stdout=printed)
    except SystemExit as ended:
        return int(str(ended.code)), json.loads(printed.getvalue())
    return 0, json.loads(printed.getvalue())


def compared(*words: str) -> tuple[int, dict[str, Any]]:
    """(Exit status, all days of the one model together) of a comparison with the provider."""
    status, told = reconcile("--provider", "anthropic", *words)
    (total,) = [one for one in told["comparisons"] if one["day"] is None]
    return status, total


@pytest.fixture
def run(submit: Submit, simulator: RunningSimulator) -> Callable[[], Workflow]:
    """Runs a workflow of one call to the simulator."""
    worker = Worker(simulator, Hand())
    return lambda: worker.run_all(submit("one_ask"))


def test_the_ledger_is_what_the_provider_billed(run: Callable[[], Workflow]) -> None:
    """To the micro-dollar, but for rounding, and to the token."""
    for _ in range(3):
        assert run().status == "succeeded"
    status, total = compared()
    assert (status, total["verdict"]) == (0, "agrees")
    assert total["ledger"]["calls"] == Call.objects.count() > 0
    assert abs(total["difference_usd_micros"]) <= 3
    assert total["ledger"]["output_tokens"] == total["billed"]["output_tokens"] > 0


def test_a_call_that_the_ledger_does_not_have_is_a_difference(
    run: Callable[[], Workflow], simulator: RunningSimulator
) -> None:
    """By the tokens and the dollars of it; within the tolerance it is none."""
    run()
    model = Call.objects.get().model
    body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
    assert simulator.post("/v1/messages", body).status_code == 200
    status, total = compared()
    assert (status, total["verdict"]) == (1, "differs")
    assert total["difference_usd_micros"] < 0
    assert compared("--tolerance", "90")[0] == 0


def test_a_doubled_entry_is_a_difference_here_and_there(run: Callable[[], Workflow]) -> None:
    """The provider billed half as much; the call is named."""
    run()
    double_entry()
    status, told = reconcile("--provider", "anthropic")
    assert status == 1
    assert told["comparisons"][-1]["difference_percent"] == pytest.approx(100, abs=2)
    named = [one for check in told["checks"] for one in check["mismatches"] if one["unit"] == "entries"]
    assert named[0]["ids"][0] == str(Call.objects.get().pk)


def test_what_is_unknown_explains_a_difference(spender: Spender, simulator: RunningSimulator) -> None:
    """The ledger has the worst case of a call that nobody came back from; the provider knows nothing of it."""
    call = spender.start()
    sql("SELECT workflows_give_up_calls(%s, 'worker_lost')", [call.call_id])
    status, total = compared()
    assert (status, total["verdict"]) == (0, "explained")
    assert total["difference_usd_micros"] == total["ledger"]["unknown_usd_micros"] == 1_000


def test_a_report_in_a_file_is_compared_and_shown_as_tables(spender: Spender, tmp_path: Path) -> None:
    """With columns in any order; the terminal says by how much it differs."""
    spender.spend()
    day = LedgerEntry.objects.get().created_at.date()
    report = tmp_path / "report.csv"
    report.write_text(f"cost,model,output_tokens,date,input_tokens\n$0.0003,m,100,{day},200\n")
    assert reconcile("--report", str(report))[0] == 0
    report.write_text(f"cost,model,output_tokens,date,input_tokens\n$0.0002,m,100,{day},200\n")
    printed = io.StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit, match="1"):
        call_command("reconcile", "--report", str(report))
    assert "$0.0001" in printed.getvalue()
    assert "differs" in printed.getvalue()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--report", "nowhere.csv"], "cannot be read"),
        (["--provider", "nobody"], "no provider 'nobody'"),
        (["--from", "2026-02-02", "--to", "2026-02-01"], "must not be after"),
        (["--from", "yesterday"], "is no day"),
        (["--tolerance", "-1"], "no percentage"),
    ],
)
def test_bad_input_is_refused_with_status_2(simulator: RunningSimulator, words: list[str], said: str) -> None:
    """And a sentence that says what is wrong."""
    with pytest.raises(CommandError, match=said) as refused:
        call_command("reconcile", *words)
    assert refused.value.returncode in (1, 2)


def test_without_a_key_the_provider_is_not_asked(simulator: RunningSimulator, settings: Any) -> None:
    """Nor where it refuses one."""
    settings.ANTHROPIC_ADMIN_KEY = ""
    with pytest.raises(CommandError, match="ANTHROPIC_ADMIN_KEY is not set"):
        call_command("reconcile", "--provider", "anthropic")
