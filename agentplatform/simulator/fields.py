"""Checks of the fields control requests carry; each raises a 400 that names the field."""

from collections.abc import Collection, Mapping
from typing import Any

from agentplatform.simulator.errors import invalid_request


def check_names(fields: Mapping[str, Any], known: Collection[str], path: str = "") -> None:
    """Refuse a field that is not known."""
    for name in fields:
        if name not in known:
            raise invalid_request(f"{path}{name}: unknown field. Known fields: {', '.join(sorted(known))}.")


def check_object(value: object, path: str) -> Mapping[str, Any]:
    """Return a JSON object."""
    if not isinstance(value, dict):
        raise invalid_request(f"{path}: Input should be an object")
    return value


def check_number(value: object, path: str, smallest: float, largest: float) -> float:
    """Return a number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not smallest <= value <= largest:
        raise invalid_request(f"{path}: Input should be a number from {smallest:g} to {largest:g}")
    return value


def check_integer(value: object, path: str, smallest: int, largest: int) -> int:
    """Return a whole number within bounds."""
    if isinstance(value, bool) or not isinstance(value, int) or not smallest <= value <= largest:
        raise invalid_request(f"{path}: Input should be an integer from {smallest} to {largest}")
    return value
