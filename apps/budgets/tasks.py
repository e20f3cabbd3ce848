"""Celery tasks: the upkeep of budgets."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from apps.budgets.watching import budgets_watch, slices_give_back


@shared_task(name="maintenance.watch_budgets", ignore_result=True)
def watch_budgets(**_: Any) -> None:
    """Begins and ends the graded actions of budgets."""
    budgets_watch()


@shared_task(name="maintenance.give_back_slices", ignore_result=True)
def give_back_slices(**_: Any) -> None:
    """Has slices give back what nobody needs any longer."""
    slices_give_back()
