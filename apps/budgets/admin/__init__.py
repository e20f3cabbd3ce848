"""Admin pages of money: the ledger, budgets, and what these did."""

from apps.budgets.admin import budgets, doings, ledger

__all__ = ["budgets", "doings", "ledger"]
