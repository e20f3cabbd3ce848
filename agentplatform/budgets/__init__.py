"""Budgets as pure decisions: which graded actions are in force, what is projected, what burns too fast."""
