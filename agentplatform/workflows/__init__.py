"""Workflow definitions, their statuses, and the coordinator that decides what happens next."""
