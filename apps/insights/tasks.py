"""Celery tasks: what is added up from time to time."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from apps.budgets.rollup import spend_rollup
from apps.insights.capacity import capacity_plans_make
from apps.insights.digest import cost_digests_send
from apps.insights.drifting import drift_watch
from apps.insights.profiling import profiles_renew
from apps.insights.velocity_alerts import spend_watch


@shared_task(name="maintenance.roll_up_spend", ignore_result=True)
def roll_up_spend(**_: Any) -> None:
    """Adds up the ledger by the hour."""
    spend_rollup()


@shared_task(name="maintenance.watch_spend", ignore_result=True)
def watch_spend(**_: Any) -> None:
    """Renews projections, and tells of budgets that burn too fast."""
    spend_watch()


@shared_task(name="maintenance.send_cost_digests", ignore_result=True)
def send_cost_digests(**_: Any) -> None:
    """Tells what yesterday has cost, once a day."""
    cost_digests_send()


@shared_task(name="maintenance.renew_profiles", ignore_result=True)
def renew_profiles(**_: Any) -> None:
    """Measures what tasks take and cost, by the hour, and tells of what has shifted."""
    profiles_renew()
    drift_watch()


@shared_task(name="maintenance.make_capacity_plans", ignore_result=True)
def make_capacity_plans(**_: Any) -> None:
    """Works out the plans of capacity that were asked for."""
    capacity_plans_make()
