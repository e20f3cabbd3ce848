"""What a home remembers from one start to the next: generated secrets and the ports that were found."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from config.stack.errors import StackError

SECRET_NAMES = ("django_secret_key", "flower_password", "broker_password", "cache_password")


def secrets_of(home: Path) -> tuple[dict[str, str], set[str]]:
    """The home's secrets by name, and the names of those generated just now; only their owner can read the file."""
    path = home / "secrets.json"
    known = read_json(path)
    missing = {name for name in SECRET_NAMES if name not in known}
    if missing:
        known |= {name: secrets.token_urlsafe(48 if name == "django_secret_key" else 24) for name in missing}
        write_json(path, known)
    return known, missing


def read_json(path: Path) -> dict:
    """The object stored at ``path``, empty when there is none. Raises StackError when it cannot be read."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StackError(f"{path} cannot be read ({error}). Restore or remove it.") from error


def write_json(path: Path, content: dict) -> None:
    """Replace ``path`` as a whole, mode 0600 from the first byte."""
    write_private(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def write_private(path: Path, content: str) -> None:
    """Replace the text file ``path`` as a whole, readable by its owner alone from the first byte."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    os.replace(temporary, path)
