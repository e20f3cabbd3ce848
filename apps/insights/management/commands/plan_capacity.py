"""manage.py plan_capacity: what more load would cost, need and meet first."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agentplatform.capacity.question import USUAL_GROWTHS, USUAL_USERS, Question
from agentplatform.capacity.what_if import WhatIf, WhatIfError
from apps.insights.capacity import answer
from apps.insights.management.capacity_tables import print_tables


class Command(BaseCommand):
    help = (
        "Plans for more load: from measured profiles, simulated through queues, limits, tiers and budgets. Without "
        f"growths it plans for {', '.join(f'{one:g}×' for one in USUAL_GROWTHS)} and {USUAL_USERS:,} users."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--growth", type=_positive, action="append", metavar="FACTOR", help="may be repeated"
        )
        parser.add_argument("--users", type=_positive, action="append", metavar="N", help="may be repeated")
        parser.add_argument(
            "--runs-a-user",
            type=_positive,
            metavar="N",
            help="runs a day of one user (as active tenants have)",
        )
        parser.add_argument(
            "--days", type=int, default=7, metavar="D", help="of how many days profiles are read (7)"
        )
        parser.add_argument(
            "--same-tenants", action="store_true", help="growth comes from the tenants there are"
        )
        parser.add_argument(
            "--mix", type=_share, nargs="+", default=[], metavar="TYPE=SHARE", help="what if: of runs"
        )
        parser.add_argument(
            "--cache-share", type=float, metavar="SHARE", help="what if: of answers, from caches"
        )
        parser.add_argument(
            "--tier-share", type=_share, nargs="+", default=[], metavar="TIER=SHARE", help="what if: of calls"
        )
        parser.add_argument(
            "--max-complexity",
            type=_share,
            nargs="+",
            default=[],
            metavar="TIER=VALUE",
            help="what if: thresholds",
        )
        parser.add_argument(
            "--target-wait", type=_share, nargs="+", default=[], metavar="QUEUE=SECONDS", help="p95 to aim at"
        )
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        growths, users = options["growth"], options["users"]
        if not growths and not users:
            growths, users = USUAL_GROWTHS, [USUAL_USERS]
        try:
            question = Question(
                tuple(growths or ()),
                tuple(users or ()),
                options["days"],
                options["runs_a_user"],
                options["same_tenants"],
                WhatIf(dict(options["mix"]), options["cache_share"], dict(options["tier_share"])),
                dict(options["max_complexity"]),
                dict(options["target_wait"]),
            )
            told = answer(question)
        except WhatIfError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(orjson.dumps(told).decode())
        else:
            print_tables(told, wide=not sys.stdout.isatty())


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"'{text}' is no number above 0")
    return number


def _share(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is not NAME=NUMBER") from None
