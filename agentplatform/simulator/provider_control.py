"""The control endpoints of the providers and of the clock."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentplatform.simulator.errors import invalid_request
from agentplatform.simulator.fields import check_names, check_number
from agentplatform.simulator.state import SimulatorState
from agentplatform.simulator.validation import parse_body

_LONGEST_ADVANCE_SECONDS = 366 * 86_400


def provider_control_routes(state: SimulatorState) -> list[Route]:
    """Return the routes of `/_control/providers` and `/_control/clock`."""

    async def providers(request: Request) -> Response:
        if request.method == "DELETE":
            state.providers.reset()
            return Response(status_code=204)
        return JSONResponse({each.name: each.as_json() for each in state.providers.all()})

    async def provider(request: Request) -> Response:
        found = state.providers.existing(request.path_params["name"])
        if request.method == "PATCH":
            found.change(parse_body(await request.body()))
        return JSONResponse(found.as_json())

    async def clock(request: Request) -> Response:
        if request.method == "POST":
            fields = parse_body(await request.body())
            check_names(fields, ("advance_seconds",))
            if "advance_seconds" not in fields:
                raise invalid_request("advance_seconds: Field required")
            seconds = check_number(fields["advance_seconds"], "advance_seconds", 0, _LONGEST_ADVANCE_SECONDS)
            state.clock.advance(seconds)
        now = state.clock.now().isoformat().replace("+00:00", "Z")
        return JSONResponse({"now": now, "advanced_seconds": state.clock.advanced_seconds})

    return [
        Route("/_control/providers", providers, methods=["GET", "DELETE"]),
        Route("/_control/providers/{name}", provider, methods=["GET", "PATCH"]),
        Route("/_control/clock", clock, methods=["GET", "POST"]),
    ]
