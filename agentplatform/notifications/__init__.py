"""Decisions about deliveries: whether they are tried again."""
