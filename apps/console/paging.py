"""Pages through tables of any size."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

MAX_ROWS = 10_000


class BoundedPaginator(Paginator):
    """Counts no further than MAX_ROWS and pages no further than that: beyond, a person filters or searches.

    Both the count and the offset of the last page stay cheap, however many rows there are.
    """

    template_name = "console/pagination.html"

    @cached_property
    def matches(self) -> int:
        """How many rows match; MAX_ROWS + 1 stands for more than MAX_ROWS."""
        rows: Any = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        return rows.order_by()[: MAX_ROWS + 1].count()

    @cached_property
    def count(self) -> int:
        return min(self.matches, MAX_ROWS)

    @property
    def found(self) -> str:
        """The number of matches, for people."""
        return f"more than {MAX_ROWS:,}" if self.matches > MAX_ROWS else f"{self.matches:,}"

    @property
    def is_cut(self) -> bool:
        return self.matches > MAX_ROWS
