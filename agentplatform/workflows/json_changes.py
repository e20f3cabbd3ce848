"""How one JSON document differs from another, place by place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """A place (a JSON Pointer, RFC 6901) where two documents differ; ABSENT is what one of them does not have."""

    pointer: str
    before: Any
    after: Any

    @property
    def kind(self) -> str:
        """added, removed or replaced."""
        if self.before is ABSENT:
            return "added"
        return "removed" if self.after is ABSENT else "replaced"

    def to_json(self) -> dict[str, Any]:
        """`change`, `pointer`, and `before` and `after` where there is one."""
        document: dict[str, Any] = {"change": self.kind, "pointer": self.pointer}
        if self.before is not ABSENT:
            document["before"] = self.before
        if self.after is not ABSENT:
            document["after"] = self.after
        return document


def changes_between(before: Any, after: Any, pointer: str = "") -> Iterator[Change]:
    """The smallest places that differ. Lists are compared element by element, by their index."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            inner = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from changes_between(before.get(name, ABSENT), after.get(name, ABSENT), inner)
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            yield from changes_between(
                before[index] if index < len(before) else ABSENT,
                after[index] if index < len(after) else ABSENT,
                f"{pointer}/{index}",
            )
    elif type(before) is not type(after) or before != after:
        yield Change(pointer, before, after)
