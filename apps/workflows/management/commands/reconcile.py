"""manage.py reconcile: whether counters are the ledger, and the ledger what a provider billed."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agentplatform.budgets.cost_reports import ReportError, read_report
from agentplatform.budgets.reconciliation import Comparison, DayOfModel, compare, is_clean
from agentplatform.llm.providers.cost_reports import fetch_cost_report
from apps.budgets.reconciling import ledger_by_day_and_model
from apps.gateway.selectors import report_address
from apps.workflows.management.reconciliation_tables import as_json, print_tables
from apps.workflows.reconciling import books_check, default_range

DIFFERS, BAD_INPUT = 1, 2


class Command(BaseCommand):
    help = (
        "Proves that what is counted is what the ledger says; with --report or --provider also compares the ledger "
        "with what a provider billed. Exits with 0 if all agrees, 1 if something differs, 2 for bad input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="since", type=_day, metavar="DAY", help="first day (UTC)")
        parser.add_argument("--to", dest="until", type=_day, metavar="DAY", help="last day (UTC), included")
        parser.add_argument("--report", metavar="FILE", help="a provider's cost report, as CSV")
        parser.add_argument(
            "--provider", default="", metavar="NAME", help="whose calls; without --report its API is asked"
        )
        parser.add_argument(
            "--tolerance",
            type=_percent,
            default=0.0,
            metavar="PERCENT",
            help="how much both may differ in a day and model (0)",
        )
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        since, until = _range(options["since"], options["until"])
        comparisons: list[Comparison] = []
        if options["report"] or options["provider"]:
            try:
                billed = _billed(options["report"], options["provider"], since.date(), until.date())
            except ReportError as error:
                raise CommandError(str(error), returncode=BAD_INPUT) from error
            ledger = ledger_by_day_and_model(since, until, options["provider"])
            comparisons = compare(ledger, billed, options["tolerance"])
        checks = books_check(since, until)
        if options["json"]:
            self.stdout.write(orjson.dumps(as_json(since, until, checks, comparisons)).decode())
        else:
            print_tables(since, until, checks, comparisons)
        if not is_clean(checks, comparisons):
            sys.exit(DIFFERS)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is no day; write it as 2026-11-29") from None


def _percent(text: str) -> float:
    try:
        percent = float(text)
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise ArgumentTypeError(f"'{text}' is no percentage from 0 to 100")
    return percent


def _range(first: date | None, last: date | None) -> tuple[datetime, datetime]:
    since, until = default_range()
    if last is not None:
        until = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)
        since = until - (default_range()[1] - since)
    if first is not None:
        since = datetime(first.year, first.month, first.day, tzinfo=UTC)
    if since >= until:
        raise CommandError("--from must not be after --to.", returncode=BAD_INPUT)
    return since, until


def _billed(report: str | None, provider: str, since: date, until: date) -> list[DayOfModel]:
    """What was billed in these days. Raises ReportError."""
    if report:
        try:
            with open(report, encoding="utf-8-sig", newline="") as lines:
                billed = read_report(lines)
        except (OSError, UnicodeDecodeError) as error:
            raise ReportError(f"The report cannot be read: {error}") from error
        return [line for line in billed if since <= line.day < until]
    if not settings.ANTHROPIC_ADMIN_KEY:
        raise ReportError("ANTHROPIC_ADMIN_KEY is not set; or give a report in a file, with --report.")
    return fetch_cost_report(_address(provider), settings.ANTHROPIC_ADMIN_KEY, since, until)


def _address(provider: str) -> str:
    address = report_address(provider)
    if address is None:
        raise ReportError(
            f"There is no provider '{provider}' whose API reports costs; give its report in a file, with --report."
        )
    return address
