"""`GET /v1/organizations/rate_limits`: the limits in force, one entry for each family of models."""

import hashlib
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentplatform.simulator.authentication import api_version
from agentplatform.simulator.dialects.dialect import Dialect
from agentplatform.simulator.errors import ApiError, invalid_request
from agentplatform.simulator.models import find_model, names_of_family
from agentplatform.simulator.pages import page_limit
from agentplatform.simulator.provider_settings import FAMILIES
from agentplatform.simulator.rate_buckets import RateLimit
from agentplatform.simulator.rate_limit_headers import LIMITS_PER_MINUTE
from agentplatform.simulator.rate_limiter import RateLimiter
from agentplatform.simulator.state import SimulatorState

GROUP_TYPES = ("batch", "files", "model_group", "skills", "token_count", "web_search")
_WITHOUT_LIMITS = RateLimit(
    requests=LIMITS_PER_MINUTE["requests"],
    input_tokens=LIMITS_PER_MINUTE["input-tokens"],
    output_tokens=LIMITS_PER_MINUTE["output-tokens"],
)
_LIMITER_TYPES = {
    "requests": "requests_per_minute",
    "input_tokens": "input_tokens_per_minute_cache_aware",
    "output_tokens": "output_tokens_per_minute",
}


def organization_routes(prefix: str, state: SimulatorState, dialect: Dialect) -> list[Route]:
    """Return the route under a provider's prefix."""

    async def rate_limits(request: Request) -> Response:
        caller = dialect.caller(request.headers)
        api_version(request.headers)
        entries = list_rate_limits(state.providers.named(caller.provider).limiter)
        return JSONResponse(_page(entries, request))

    return [Route(f"{prefix}/v1/organizations/rate_limits", rate_limits, methods=["GET"])]


def list_rate_limits(limiter: RateLimiter) -> list[dict[str, Any]]:
    """Return an entry for each family of models and one for batches.

    Without limits they are those of a large organisation, as in the headers.
    """
    entries = []
    for family in FAMILIES:
        limit = limiter.limit_of(family) or _WITHOUT_LIMITS
        values = [
            {"type": kind, "value": getattr(limit, name)}
            for name, kind in _LIMITER_TYPES.items()
            if getattr(limit, name) is not None
        ]
        group = {"type": "model_group", "id": _id("rlg", family), "display_name": f"Claude {family.title()}"}
        entries.append(_entry(family, group, values, names_of_family(family)))
    batch = {"type": "batch", "id": _id("rlg", "batch")}
    values = [
        {"type": "requests_per_minute", "value": LIMITS_PER_MINUTE["requests"]},
        {"type": "enqueued_batch_requests", "value": 500_000},
    ]
    return [*entries, _entry("batch", batch, values, None)]


def _entry(
    name: str, group: dict[str, str], limits: list[dict[str, Any]], models: list[str] | None
) -> dict[str, Any]:
    return {"id": _id("rl", name), "type": "rate_limit", "group": group, "limits": limits, "models": models}


def _page(entries: list[dict[str, Any]], request: Request) -> dict[str, Any]:
    query = request.query_params
    group_type, model = query.get("group_type"), query.get("model")
    if group_type is not None:
        if group_type not in GROUP_TYPES:
            raise invalid_request(f"group_type: Input should be one of {', '.join(GROUP_TYPES)}")
        entries = [entry for entry in entries if entry["group"]["type"] == group_type]
    if model is not None:
        find_model(model)
        entries = [entry for entry in entries if model in (entry["models"] or ())]
        if not entries:
            raise ApiError(404, f"model: {model} has no rate limits")
    ids = [entry["id"] for entry in entries]
    page = query.get("page")
    if page is not None and page not in ids:
        raise invalid_request("page: Input should be the next_page of an earlier response")
    entries = entries[0 if page is None else ids.index(page) :]
    limit = page_limit(query, default=1_000)
    return {"data": entries[:limit], "next_page": entries[limit]["id"] if len(entries) > limit else None}


def _id(prefix: str, name: str) -> str:
    return f"{prefix}_01{hashlib.sha256(name.encode()).hexdigest()[:22]}"
