"""Decisions about deliveries: where they may go, and whether they are tried again."""
