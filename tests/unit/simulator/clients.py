"""The SDK's client for each provider of one simulator, with the credentials it expects."""

from typing import Any

import anthropic

from tests.unit.conftest import RunningSimulator

ACCESS_KEY = "AKIASIMULATORBEDROCK"
MODELS = {
    "anthropic": "claude-haiku-5-5",
    "second": "claude-haiku-5-5",
    "bedrock": "us.anthropic.claude-haiku-5-5-v1:0",
    "vertex": "claude-haiku-5-5",
}
"""What the same model is called at each provider."""


def second(simulator: RunningSimulator, api_key: str = "simulator-second") -> anthropic.Anthropic:
    """A plain base URL with its own key."""
    return anthropic.Anthropic(api_key=api_key, base_url=f"{simulator.url}/second", max_retries=0)


def bedrock(simulator: RunningSimulator, **credentials: str) -> anthropic.AnthropicBedrock:
    """Bedrock by access key, or by what is given instead."""
    given: dict[str, Any] = credentials or {"aws_access_key": ACCESS_KEY, "aws_secret_key": "secret"}
    return anthropic.AnthropicBedrock(
        base_url=f"{simulator.url}/bedrock", aws_region="us-east-1", max_retries=0, **given
    )


def vertex(simulator: RunningSimulator, access_token: str = "simulator-vertex") -> anthropic.AnthropicVertex:
    """Vertex by access token."""
    return anthropic.AnthropicVertex(
        base_url=f"{simulator.url}/vertex",
        region="us-east5",
        project_id="project",
        access_token=access_token,
        max_retries=0,
    )


def client_of(name: str, simulator: RunningSimulator) -> Any:
    """The client of a provider by its name."""
    if name == "anthropic":
        return simulator.client()
    return {"second": second, "bedrock": bedrock, "vertex": vertex}[name](simulator)
