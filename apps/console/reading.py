"""Who may read what runs were told and have answered: one rule, wherever a page would show it.

A page of a lower room shows what a call has answered, and knows nothing of what its run belongs to: the room that does
gives the rule.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from django.http import HttpRequest
from unfold.decorators import display

from apps.console.pages import ConsoleAdmin

WITHHELD = "What was said is shown to those who may read sessions."

Rule = Callable[[HttpRequest, Collection[uuid.UUID]], Iterable[uuid.UUID]]
"""Which of these runs the user may not read."""

_rules: list[Rule] = []


def reading_rule(rule: Rule) -> Rule:
    """Has all pages go by this rule, too."""
    _rules.append(rule)
    return rule


def withheld(request: HttpRequest, workflow_ids: Collection[uuid.UUID]) -> frozenset[uuid.UUID]:
    """The runs of these of which the user may not read what was said."""
    return frozenset(run for rule in _rules for run in rule(request, workflow_ids))


class SaidInRunsAdmin(ConsoleAdmin):
    """A page with something that was said in a run: `said_fields` show it, `run_field` is the run's id."""

    run_field = "workflow_id"
    said_fields: tuple[str, ...] = ()

    def is_withheld(self, request: HttpRequest, obj: Any) -> bool:
        return bool(withheld(request, [getattr(obj, self.run_field)]))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or not self.is_withheld(request, obj):
            return fieldsets
        return [
            (name, {**options, "fields": self._readable(options["fields"])}) for name, options in fieldsets
        ]

    def _readable(self, fields: Sequence[Any]) -> list[Any]:
        kept = [field for field in fields if field not in self.said_fields]
        return kept if len(kept) == len(fields) else [*kept, "withheld_words"]

    @display(description="what was said")
    def withheld_words(self, obj: Any) -> str:
        return WITHHELD
