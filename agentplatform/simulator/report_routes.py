"""What an organisation has used and was billed, by day: `usage_report/messages` and `cost_report`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentplatform.simulator.authentication import api_version
from agentplatform.simulator.billing import Bill, Billing
from agentplatform.simulator.dialects.dialect import Dialect
from agentplatform.simulator.errors import invalid_request
from agentplatform.simulator.state import SimulatorState

MOST_DAYS = 31
_DEFAULT_DAYS = 7
_PAGE = "page_"
_GROUPED_USAGE = ("model", "service_tier")
_GROUPED_COSTS = ("description", "workspace_id")
_TOKEN_TYPES = {
    "input_tokens": "uncached_input_tokens",
    "output_tokens": "output_tokens",
    "cache_write_5m_tokens": "cache_creation.ephemeral_5m_input_tokens",
    "cache_write_1h_tokens": "cache_creation.ephemeral_1h_input_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
}
_MICROS_PER_CENT = 10_000
Results = Callable[[Billing, date, frozenset[str]], Iterator[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """The days of a page, how many more there are, and by what results are grouped."""

    days: list[date]
    next_day: date | None
    grouped: frozenset[str]


def report_routes(prefix: str, state: SimulatorState, dialect: Dialect) -> list[Route]:
    """Return the routes under a provider's prefix."""

    def serve(results: Results, allowed: tuple[str, ...]) -> Callable[[Request], Response]:
        def report(request: Request) -> Response:
            caller = dialect.caller(request.headers)
            api_version(request.headers)
            provider = state.providers.named(caller.provider)
            provider.batches.bill()
            asked = _parse(request.query_params, allowed, state.clock.now())
            return JSONResponse(_page(asked, provider.billing, results))

        return report

    base = f"{prefix}/v1/organizations"
    return [
        Route(f"{base}/usage_report/messages", _async(serve(_usage, _GROUPED_USAGE)), methods=["GET"]),
        Route(f"{base}/cost_report", _async(serve(_costs, _GROUPED_COSTS)), methods=["GET"]),
    ]


def _async(report: Callable[[Request], Response]) -> Any:
    # In the event loop, as all that reads or changes the simulator's state.
    async def endpoint(request: Request) -> Response:
        return report(request)

    return endpoint


def _parse(query: QueryParams, allowed: tuple[str, ...], now: datetime) -> _Asked:
    if query.get("bucket_width", "1d") != "1d":
        raise invalid_request("bucket_width: this simulator reports by '1d' alone")
    limit = query.get("limit", str(_DEFAULT_DAYS))
    if not (limit.isascii() and limit.isdecimal()) or len(limit) > 2 or not 1 <= int(limit) <= MOST_DAYS:
        raise invalid_request(f"limit: Input should be an integer between 1 and {MOST_DAYS}")
    grouped = frozenset(query.getlist("group_by[]"))
    if not grouped <= set(allowed):
        raise invalid_request(f"group_by: Input should be one of {', '.join(allowed)}")
    if "starting_at" not in query:
        raise invalid_request("starting_at: Field required")
    first = _day(query["starting_at"], "starting_at")
    last = _day(query["ending_at"], "ending_at") if "ending_at" in query else now.date() + timedelta(days=1)
    if "page" in query:
        first = max(first, _day(query["page"].removeprefix(_PAGE), "page"))
    last = min(last, now.date() + timedelta(days=1))
    days = [first + timedelta(days=number) for number in range(min(int(limit), (last - first).days))]
    after = first + timedelta(days=len(days))
    return _Asked(days, after if after < last else None, grouped)


def _day(text: str, name: str) -> date:
    try:
        # A "+" in a query string reads as a space.
        at = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise invalid_request(f"{name}: Input should be an RFC 3339 time") from None
    return (at if at.tzinfo is None else at.astimezone(UTC)).date()


def _page(asked: _Asked, billing: Billing, results: Results) -> dict[str, Any]:
    data = [
        {
            "starting_at": f"{day}T00:00:00Z",
            "ending_at": f"{day + timedelta(days=1)}T00:00:00Z",
            "results": list(results(billing, day, asked.grouped)),
        }
        for day in asked.days
    ]
    more = asked.next_day is not None
    return {"data": data, "has_more": more, "next_page": f"{_PAGE}{asked.next_day}" if more else None}


def _usage(billing: Billing, day: date, grouped: frozenset[str]) -> Iterator[dict[str, Any]]:
    summed: dict[tuple[str | None, str | None], dict[str, int]] = {}
    for model, service_tier, bill in billing.of_day(day):
        key = (model if "model" in grouped else None, service_tier if "service_tier" in grouped else None)
        tokens = summed.setdefault(key, dict.fromkeys(bill.tokens, 0))
        for bucket, count in bill.tokens.items():
            tokens[bucket] += count
    for (one_model, one_tier), tokens in summed.items():
        yield {
            "uncached_input_tokens": tokens["input_tokens"],
            "cache_creation": {
                "ephemeral_5m_input_tokens": tokens["cache_write_5m_tokens"],
                "ephemeral_1h_input_tokens": tokens["cache_write_1h_tokens"],
            },
            "cache_read_input_tokens": tokens["cache_read_tokens"],
            "output_tokens": tokens["output_tokens"],
            "server_tool_use": {"web_search_requests": 0},
            "api_key_id": None,
            "workspace_id": None,
            "model": one_model,
            "service_tier": one_tier,
            "context_window": None,
        }


def _costs(billing: Billing, day: date, grouped: frozenset[str]) -> Iterator[dict[str, Any]]:
    bills = list(billing.of_day(day))
    if "description" in grouped:
        for model, service_tier, bill in bills:
            yield from _described(model, service_tier, bill)
    elif bills:
        total = sum((amount for *_, bill in bills for amount in bill.usd_micros.values()), Decimal(0))
        yield _cost(total)


def _described(model: str, service_tier: str, bill: Bill) -> Iterator[dict[str, Any]]:
    for bucket, amount in bill.usd_micros.items():
        if amount:
            token_type = _TOKEN_TYPES[bucket]
            yield _cost(
                amount,
                description=f"{model} Usage - {token_type}",
                cost_type="tokens",
                model=model,
                service_tier=service_tier,
                token_type=token_type,
            )


def _cost(usd_micros: Decimal, **more: str) -> dict[str, Any]:
    empty = dict.fromkeys(
        ("workspace_id", "description", "cost_type", "context_window", "model", "service_tier", "token_type")
    )
    # Decimal text, in cents.
    return {"currency": "USD", "amount": f"{usd_micros / _MICROS_PER_CENT:f}", **empty, **more}
