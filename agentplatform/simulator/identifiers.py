"""Identifiers in the API's form: a prefix and random letters and digits, unique per response."""

import random

_random = random.Random()


def new_identifier(prefix: str) -> str:
    """Return a fresh identifier such as `msg_01…`; never the same twice, whatever the seed."""
    return f"{prefix}_01{_random.getrandbits(112):028x}"
