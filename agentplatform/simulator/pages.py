"""Pages of a list, as the API cuts them: exclusive cursors `after_id` and `before_id`."""

from collections.abc import Mapping, Sequence
from typing import Any

from agentplatform.simulator.errors import invalid_request

_DEFAULT_LIMIT, _LARGEST_LIMIT = 20, 1_000


def page_limit(query: Mapping[str, str], default: int = _DEFAULT_LIMIT) -> int:
    """Return the `limit` a query asks for; raises a 400 for one outside 1 to 1,000."""
    limit = query.get("limit", str(default))
    if not (limit.isascii() and limit.isdecimal()) or len(limit) > 4 or not 1 <= int(limit) <= _LARGEST_LIMIT:
        raise invalid_request(f"limit: Input should be an integer between 1 and {_LARGEST_LIMIT}")
    return int(limit)


def cut_page(ids: Sequence[str], limit: int, after: int | None, before: int | None) -> tuple[list[str], bool]:
    """Return the ids of one page and whether there are more; `after` and `before` are positions left out."""
    window = ids[0 if after is None else after + 1 : len(ids) if before is None else before]
    from_the_end = before is not None and after is None
    page = window[-limit:] if from_the_end else window[:limit]
    return list(page), len(window) > len(page)


def as_page(data: Sequence[Mapping[str, Any]], has_more: bool) -> dict[str, Any]:
    """Return the API's page object."""
    return {
        "data": list(data),
        "has_more": has_more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }
