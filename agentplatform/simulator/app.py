"""The simulator as an ASGI application."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentplatform.simulator.authentication import api_version, authenticate
from agentplatform.simulator.control import control_routes
from agentplatform.simulator.errors import ApiError, invalid_request
from agentplatform.simulator.identifiers import new_identifier
from agentplatform.simulator.messages import CountTokensEndpoint, MessagesEndpoint, SimulatorState
from agentplatform.simulator.models import find_model, list_models
from agentplatform.simulator.settings import SimulatorSettings

_DEFAULT_PAGE, _LARGEST_PAGE = 20, 1_000


def create_app(settings: SimulatorSettings) -> ASGIApp:
    """Return the application of one simulator, with its own faults and log of calls."""
    state = SimulatorState(settings)
    routes = [
        Route("/v1/messages", MessagesEndpoint(state), methods=["POST"]),
        Route("/v1/messages/count_tokens", CountTokensEndpoint(), methods=["POST"]),
        Route("/v1/models", _list_models, methods=["GET"]),
        Route("/v1/models/{model_id}", _retrieve_model, methods=["GET"]),
        *control_routes(state),
    ]
    handlers = {ApiError: _answer_error, HTTPException: _answer_error, Exception: _answer_error}
    return _Envelope(Starlette(routes=routes, exception_handlers=handlers))


class _Envelope:
    """Gives each response its `request-id` and says that a simulator made it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request_id = new_identifier("req")
        scope.setdefault("state", {})["request_id"] = request_id
        extra = [(b"request-id", request_id.encode()), (b"x-simulator", b"agentplatform")]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


async def _list_models(request: Request) -> Response:
    _authorize(request)
    query = request.query_params
    limit = query.get("limit", str(_DEFAULT_PAGE))
    if not limit.isdecimal() or not 1 <= int(limit) <= _LARGEST_PAGE:
        raise invalid_request(f"limit: Input should be an integer between 1 and {_LARGEST_PAGE}")
    return JSONResponse(list_models(int(limit), query.get("after_id"), query.get("before_id")))


async def _retrieve_model(request: Request) -> Response:
    _authorize(request)
    return JSONResponse(find_model(request.path_params["model_id"]).as_json())


def _authorize(request: Request) -> None:
    authenticate(request.headers)
    api_version(request.headers)


async def _answer_error(request: Request, error: Exception) -> Response:
    answered = _as_api_error(request, error)
    body = answered.body(request.scope["state"]["request_id"])
    return JSONResponse(body, status_code=answered.status, headers=answered.headers())


def _as_api_error(request: Request, error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HTTPException):
        text = f"{request.method} {request.url.path}: {error.detail}"
        return ApiError(error.status_code, text)
    return ApiError(500, "Internal error of the simulator; its log has the traceback.")
