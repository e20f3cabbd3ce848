"""Where each provider is found: Anthropic at the root, the others under a prefix of their own."""

from starlette.routing import Route

from agentplatform.simulator.batch_routes import BatchApi
from agentplatform.simulator.dialects.bedrock import BedrockDialect
from agentplatform.simulator.dialects.dialect import Dialect
from agentplatform.simulator.dialects.first_party import FirstPartyDialect, SecondDialect
from agentplatform.simulator.dialects.vertex import VertexDialect
from agentplatform.simulator.messages import CountTokensEndpoint, MessagesEndpoint
from agentplatform.simulator.model_routes import model_routes
from agentplatform.simulator.organization_routes import organization_routes
from agentplatform.simulator.report_routes import report_routes
from agentplatform.simulator.state import SimulatorState

SECOND_PREFIX = "/second"
BEDROCK_PREFIX = "/bedrock/"
VERTEX_PREFIXES = ("/vertex", "/vertex/v1")


def provider_routes(state: SimulatorState) -> list[Route]:
    """Return the routes of all providers, the first one's first."""
    settings = state.settings
    return [
        *_first_party("", FirstPartyDialect(), state),
        *_first_party(SECOND_PREFIX, SecondDialect(settings.second_api_key), state),
        *_bedrock(state),
        *_vertex(VertexDialect(settings.vertex_access_token), state),
    ]


def _first_party(prefix: str, dialect: Dialect, state: SimulatorState) -> list[Route]:
    return [
        Route(f"{prefix}/v1/messages", MessagesEndpoint(state, dialect), methods=["POST"]),
        Route(f"{prefix}/v1/messages/count_tokens", CountTokensEndpoint(state, dialect), methods=["POST"]),
        *model_routes(prefix, dialect),
        *BatchApi(prefix, state, dialect).routes(),
        *organization_routes(prefix, state, dialect),
        *report_routes(prefix, state, dialect),
    ]


def _bedrock(state: SimulatorState) -> list[Route]:
    routes: list[Route] = []
    for method, stream in (("invoke", False), ("invoke-with-response-stream", True)):
        dialect = BedrockDialect(
            access_key=state.settings.bedrock_access_key,
            api_key=state.settings.bedrock_api_key,
            stream=stream,
        )
        path = f"{BEDROCK_PREFIX}model/{{model:path}}/{method}"
        routes.append(Route(path, MessagesEndpoint(state, dialect), methods=["POST"]))
    return routes


def _vertex(dialect: Dialect, state: SimulatorState) -> list[Route]:
    routes: list[Route] = []
    for prefix in VERTEX_PREFIXES:
        models = f"{prefix}/projects/{{project}}/locations/{{region}}/publishers/anthropic/models"
        count = CountTokensEndpoint(state, dialect)
        routes.append(Route(f"{models}/count-tokens:rawPredict", count, methods=["POST"]))
        routes.append(Route(f"{models}/{{target}}", MessagesEndpoint(state, dialect), methods=["POST"]))
    return routes
