"""The simulator as an ASGI application."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentplatform.simulator.control import control_routes
from agentplatform.simulator.errors import ApiError
from agentplatform.simulator.identifiers import new_identifier
from agentplatform.simulator.provider_control import provider_control_routes
from agentplatform.simulator.provider_routes import BEDROCK_PREFIX, provider_routes
from agentplatform.simulator.settings import SimulatorSettings
from agentplatform.simulator.state import SimulatorState


def create_app(settings: SimulatorSettings) -> ASGIApp:
    """Return the application of one simulator, with its own providers, faults and log of calls."""
    state = SimulatorState(settings)
    routes = [*provider_routes(state), *control_routes(state), *provider_control_routes(state)]
    handlers = {ApiError: _answer_error, HTTPException: _answer_error, Exception: _answer_error}
    return _Envelope(Starlette(routes=routes, exception_handlers=handlers))


class _Envelope:
    """Gives each response its request id, as its provider names that, and says that a simulator made it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request_id = new_identifier("req")
        scope.setdefault("state", {})["request_id"] = request_id
        name = b"x-amzn-requestid" if scope["path"].startswith(BEDROCK_PREFIX) else b"request-id"
        extra = [(name, request_id.encode()), (b"x-simulator", b"agentplatform")]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


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
