"""Checks of a workflow's input that go beyond its JSON Schema. Definitions name them; the registry finds them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agentplatform.json_schema import Fault

InputCheck = Callable[[uuid.UUID, Mapping[str, Any]], Iterable[Fault]]
"""Given the tenant's id and an input that its schema takes, what is wrong with it; paths begin inside the input."""
