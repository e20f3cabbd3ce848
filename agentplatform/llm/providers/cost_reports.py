"""What Anthropic says an organisation has used and was billed: its Usage and Cost Admin API."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import httpx2

from agentplatform.budgets.cost_reports import ReportError
from agentplatform.budgets.reconciliation import Amounts, DayOfModel

TIMEOUT_SECONDS = 30.0
DAYS_A_PAGE = 31
MAX_PAGES = 1_000
_VERSION = "2023-06-01"
_MICROS_PER_CENT = 10_000
Key = tuple[date, str]


def fetch_cost_report(base_url: str, admin_key: str, since: date, until: date) -> list[DayOfModel]:
    """Tokens and cost by day (UTC) and model, of the days in [since, until).

    What is billed beside tokens, such as searches, comes under its description in place of a model. Raises
    ReportError.
    """
    headers = {"x-api-key": admin_key, "anthropic-version": _VERSION}
    days = {"starting_at": f"{since}T00:00:00Z", "ending_at": f"{until}T00:00:00Z"}
    with httpx2.Client(base_url=base_url, headers=headers, timeout=TIMEOUT_SECONDS) as client:
        try:
            tokens = _usage(client, days)
            costs = _costs(client, days)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise ReportError(f"The provider's report has another shape than expected: {error!r}") from error
    lines = [DayOfModel(*key, amounts) for key, amounts in tokens.items()]
    return lines + [DayOfModel(*key, Amounts(usd_micros=round(micros))) for key, micros in costs.items()]


def _usage(client: httpx2.Client, days: dict[str, str]) -> dict[Key, Amounts]:
    found: defaultdict[Key, Amounts] = defaultdict(Amounts)
    query = {**days, "group_by[]": "model"}
    for day, result in _results(client, "/v1/organizations/usage_report/messages", query):
        found[day, result["model"] or "other"] += Amounts(
            input_tokens=result["uncached_input_tokens"],
            output_tokens=result["output_tokens"],
            cache_write_tokens=sum((result["cache_creation"] or {}).values()),
            cache_read_tokens=result["cache_read_input_tokens"],
        )
    return found


def _costs(client: httpx2.Client, days: dict[str, str]) -> dict[Key, Decimal]:
    found: defaultdict[Key, Decimal] = defaultdict(Decimal)
    for day, result in _results(
        client, "/v1/organizations/cost_report", {**days, "group_by[]": "description"}
    ):
        found[day, result.get("model") or result.get("description") or "other"] += (
            Decimal(result["amount"]) * _MICROS_PER_CENT
        )
    return found


def _results(
    client: httpx2.Client, path: str, query: dict[str, str]
) -> Iterator[tuple[date, dict[str, Any]]]:
    query = {**query, "bucket_width": "1d", "limit": str(DAYS_A_PAGE)}
    for _ in range(MAX_PAGES):
        page = _get(client, path, query)
        for bucket in page["data"]:
            day = date.fromisoformat(bucket["starting_at"][:10])
            for result in bucket["results"]:
                yield day, result
        if not page["has_more"]:
            return
        query["page"] = page["next_page"]
    raise ReportError(f"The provider's report has more than {MAX_PAGES} pages.")


def _get(client: httpx2.Client, path: str, query: dict[str, str]) -> dict[str, Any]:
    try:
        response = client.get(path, params=query)
    except httpx2.HTTPError as error:
        raise ReportError(f"The provider cannot be reached: {error}") from error
    if response.status_code != 200:
        raise ReportError(f"The provider refuses its report with {response.status_code}{_reason(response)}.")
    return dict(response.json())


def _reason(response: httpx2.Response) -> str:
    try:
        return f": {response.json()['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return ""
