"""`GET /v1/models` and `GET /v1/models/{id}`."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentplatform.simulator.authentication import api_version
from agentplatform.simulator.dialects.dialect import Dialect
from agentplatform.simulator.models import find_model, list_models
from agentplatform.simulator.pages import page_limit


def model_routes(prefix: str, dialect: Dialect) -> list[Route]:
    """Return the routes of the catalogue under a provider's prefix."""

    def authorize(request: Request) -> None:
        dialect.caller(request.headers)
        api_version(request.headers)

    async def listed(request: Request) -> Response:
        authorize(request)
        query = request.query_params
        return JSONResponse(list_models(page_limit(query), query.get("after_id"), query.get("before_id")))

    async def retrieved(request: Request) -> Response:
        authorize(request)
        return JSONResponse(find_model(request.path_params["model_id"]).as_json())

    return [
        Route(f"{prefix}/v1/models", listed, methods=["GET"]),
        Route(f"{prefix}/v1/models/{{model_id}}", retrieved, methods=["GET"]),
    ]
