"""Celery tasks: what is added up from time to time."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from apps.budgets.rollup import spend_rollup


@shared_task(name="maintenance.roll_up_spend", ignore_result=True)
def roll_up_spend(**_: Any) -> None:
    """Adds up the ledger by the hour."""
    spend_rollup()
