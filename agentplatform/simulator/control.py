"""The simulator's own endpoints: scripting faults, reading what was received, and saying what it is."""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agentplatform.simulator.errors import invalid_request
from agentplatform.simulator.faults import parse_fault
from agentplatform.simulator.state import SimulatorState
from agentplatform.simulator.validation import parse_body

WHAT_IT_IS = "simulator of the Anthropic API, no model is called"


def control_routes(state: SimulatorState) -> list[Route]:
    """Return the routes of `/`, `/_control/faults` and `/_control/calls`."""

    async def about(_request: Request) -> Response:
        return JSONResponse(
            {
                "simulator": WHAT_IT_IS,
                "seed": state.settings.seed,
                "latency_scale": state.settings.latency_scale,
                "endpoints": [
                    "POST /v1/messages",
                    "POST /v1/messages/count_tokens",
                    "GET, POST /v1/messages/batches",
                    "GET, DELETE /v1/messages/batches/{id}",
                    "POST /v1/messages/batches/{id}/cancel",
                    "GET /v1/messages/batches/{id}/results",
                    "GET /v1/models",
                    "GET /v1/models/{id}",
                    "GET /v1/organizations/rate_limits",
                    "GET /v1/organizations/usage_report/messages",
                    "GET /v1/organizations/cost_report",
                    "the same below /second; /bedrock and /vertex in their own shapes",
                    "GET, POST, DELETE /_control/faults",
                    "GET, DELETE /_control/calls",
                    "GET, DELETE /_control/providers",
                    "GET, PATCH /_control/providers/{name}",
                    "GET, POST /_control/clock",
                ],
            }
        )

    async def faults(request: Request) -> Response:
        if request.method == "POST":
            scripted = state.faults.add(parse_fault(parse_body(await request.body())))
            return JSONResponse(scripted, status_code=201)
        if request.method == "DELETE":
            state.faults.clear()
            return Response(status_code=204)
        return JSONResponse({"faults": state.faults.describe()})

    async def calls(request: Request) -> Response:
        if request.method == "DELETE":
            state.calls.reset()
            for provider in state.providers.all():
                provider.reset_counts()
            return Response(status_code=204)
        return JSONResponse(state.calls.snapshot(_since(request.query_params.get("since"))))

    return [
        Route("/", about, methods=["GET"]),
        Route("/_control/faults", faults, methods=["GET", "POST", "DELETE"]),
        Route("/_control/calls", calls, methods=["GET", "DELETE"]),
    ]


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        # A "+" in a query string reads as a space.
        since = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise invalid_request("since: Input should be an RFC 3339 time such as a call's `at`") from None
    return since if since.tzinfo is not None else since.replace(tzinfo=UTC)
