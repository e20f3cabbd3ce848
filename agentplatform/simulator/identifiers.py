"""Identifiers in the API's form: a prefix and random letters and digits, unique per response."""

import random
import string

_ALPHABET = string.ascii_letters + string.digits
_random = random.Random()


def new_identifier(prefix: str) -> str:
    """Return a fresh identifier such as `msg_01…`; never the same twice, whatever the seed."""
    return f"{prefix}_01" + "".join(_random.choices(_ALPHABET, k=22))
